#pragma once

namespace herald {

// Returns to the kernel what the allocator keeps of freed memory. Any thread; takes milliseconds
// where there is much.
void ReturnFreeMemory();

}  // namespace herald
