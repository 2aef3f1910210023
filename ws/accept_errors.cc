#include "ws/accept_errors.h"

#include <cerrno>

namespace herald {

void AcceptErrors::Count(const boost::system::error_code& error) {
  std::size_t kind = kKinds - 1;
  switch (error.value()) {
    case EMFILE:
      kind = 0;
      break;
    case ENFILE:
      kind = 1;
      break;
    case ENOBUFS:
      kind = 2;
      break;
    case ENOMEM:
      kind = 3;
      break;
    default:
      break;
  }
  counts_[kind].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace herald
