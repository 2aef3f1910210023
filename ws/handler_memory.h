#pragma once

#include <cstddef>
#include <new>

namespace herald {

// Room for one pending operation of Asio's, as a part of what waits for it: in place of a block of
// its own, which the allocator rounds up. What does not fit, or comes while it is taken, is
// allocated as ever.
//
// Threads:   one.
// Ownership: outlives the operation. Asio gives an operation's memory back before its handler runs,
//            and destroys the handler after that: so it may be what keeps the owner alive.
template <std::size_t kBytes>
class HandlerMemory {
 public:
  HandlerMemory() = default;
  HandlerMemory(const HandlerMemory&) = delete;
  HandlerMemory& operator=(const HandlerMemory&) = delete;

  // What a handler returns from get_allocator().
  template <typename T>
  class Allocator {
   public:
    using value_type = T;
    explicit Allocator(HandlerMemory& memory) : memory_(&memory) {}
    template <typename U>
    Allocator(const Allocator<U>& other) : memory_(other.memory_) {}  // NOLINT: as allocators do

    T* allocate(std::size_t n) {
      if (alignof(T) <= alignof(HandlerMemory) && !memory_->taken_ && n * sizeof(T) <= kBytes) {
        memory_->taken_ = true;
        return reinterpret_cast<T*>(memory_->bytes_);
      }
      return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{alignof(T)}));
    }
    void deallocate(T* at, std::size_t) {
      if (reinterpret_cast<std::byte*>(at) == memory_->bytes_) {
        memory_->taken_ = false;
      } else {
        ::operator delete(at, std::align_val_t{alignof(T)});
      }
    }

    template <typename U>
    bool operator==(const Allocator<U>& other) const {
      return memory_ == other.memory_;
    }

   private:
    template <typename U>
    friend class Allocator;
    HandlerMemory* memory_;
  };

 private:
  alignas(void*) std::byte bytes_[kBytes];
  bool taken_ = false;
};

}  // namespace herald
