#pragma once

#include "app/config.h"

namespace herald {

// Warns, one line each, of files with secrets that every user of this machine can read, and says
// how to close them. To be called at the start.
void WarnOfReadableSecrets(const Config& config);

}  // namespace herald
