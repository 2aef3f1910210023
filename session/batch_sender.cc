#include "session/batch_sender.h"

#include <utility>

#include "session/session.h"

namespace herald {

void BatchFlush::Flush(std::vector<Session*>& touched) {
  for (std::size_t begin = 0; begin < touched.size();) {
    sends_.clear();
    std::size_t used = 0;
    std::size_t end = begin;
    // Nothing but looking, until all is sent: nobody's queue may change while the kernel reads it.
    for (; end < touched.size() && sends_.size() < BatchSender::kMaxSends; ++end) {
      PrefetchAhead(touched, end);
      if (touched[end] == nullptr) continue;
      const std::span<iovec> room = std::span(buffers_).subspan(used);
      if (room.empty()) break;
      std::size_t n = 0;
      const int fd = touched[end]->PrepareSend(room, n);
      if (fd < 0) continue;
      sends_.push_back({fd, end, room.first(n), 0});
      used += n;
    }
    if (!sends_.empty()) sender_.SendAll(sends_);
    // All queues have to know what is gone before one of them writes again.
    for (const BatchSender::Send& send : sends_) {
      Session*& session = touched[send.session];
      if (session->OnSent(send.result)) continue;
      session->touched_ = false;
      session = nullptr;
    }
    for (std::size_t i = begin; i < end; ++i) {
      Session* session = std::exchange(touched[i], nullptr);
      if (session == nullptr) continue;
      session->touched_ = false;
      session->Flush();
    }
    begin = end;
  }
  touched.clear();
}

}  // namespace herald
