#include "cli/push_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "cli/command_line.h"
#include "cli/line_reader.h"
#include "cli/output.h"
#include "cli/pacer.h"

namespace herald::cli {
namespace {

constexpr std::size_t kMaxLineBytes = 8 << 20;
constexpr std::size_t kMaxUnansweredBytes = 4 << 20;

// Lines from any thread to one descriptor, which may block: a thread of its own writes them.
class Output {
 public:
  // `on_lost` is called on that thread when nobody reads any more.
  Output(int fd, std::function<void()> on_lost)
      : fd_(fd), on_lost_(std::move(on_lost)), writing_([this] { Run(); }) {}
  ~Output() { Finish(); }

  // Never blocks.
  void Write(std::string_view text) {
    const std::lock_guard lock(mutex_);
    if (lost_) return;
    waiting_ += text;
    changed_.notify_all();
  }
  // Blocks while much waits. False, now and later, when nobody reads any more.
  bool WaitForRoom() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return lost_ || waiting_.size() < kMaxWaitingBytes; });
    return !lost_;
  }
  // Blocks until all is written. False if it could not be.
  bool Finish() {
    {
      const std::lock_guard lock(mutex_);
      finished_ = true;
      changed_.notify_all();
    }
    if (writing_.joinable()) writing_.join();
    return !lost_;
  }

 private:
  static constexpr std::size_t kMaxWaitingBytes = 1 << 20;

  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return finished_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const std::string text = std::exchange(waiting_, {});
      changed_.notify_all();
      lock.unlock();
      const bool written = WriteAll(text);
      lock.lock();
      if (written) continue;
      lost_ = true;
      waiting_.clear();
      changed_.notify_all();
      lock.unlock();
      return on_lost_();
    }
  }
  bool WriteAll(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = write(fd_, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  const int fd_;
  const std::function<void()> on_lost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string waiting_;
  bool lost_ = false;
  bool finished_ = false;
  std::thread writing_;
};

// Counts and prints what the server says. Called by one thread at a time.
class Results {
 public:
  Results(Output& output, PushStreamSummary& summary) : output_(output), summary_(summary) {}

  Producer::OnResult OnResult(std::uint64_t seq) {
    return [this, seq](const absl::StatusOr<v1::CommandResult>& result) {
      if (result.ok()) return Print(*result);
      // Given up alone, as too old to be repeated. Those that fell with the stream are counted.
      if (result.status().code() != absl::StatusCode::kUnknown) return;
      Print(FailedResult(seq, result.status()));
    };
  }
  Producer::OnReceipt OnReceipt() {
    return [this](const absl::StatusOr<v1::Receipt>& receipt) {
      if (receipt.ok()) {
        ++summary_.receipts;
        output_.Write(ToJson(*receipt) + "\n");
      } else if (receipt.status().code() == absl::StatusCode::kUnknown) {
        ++summary_.lost_receipts;
      }
    };
  }
  void Print(const v1::CommandResult& result) {
    ++(result.code() == 0 ? summary_.ok : summary_.refused);
    if (result.duplicate()) ++summary_.duplicates;
    output_.Write(ToJson(result) + "\n");
  }
  static v1::CommandResult FailedResult(std::uint64_t seq, const absl::Status& status) {
    v1::CommandResult result;
    result.set_seq(seq);
    result.set_code(static_cast<int>(status.code()));
    result.set_detail(std::string(status.message()));
    return result;
  }

 private:
  Output& output_;
  PushStreamSummary& summary_;
};

void SendLines(LineReader& reader, Producer& producer, Output& output, Results& results,
               const PushStreamOptions& options, PushStreamSummary& summary) {
  Pacer pacer(options.rate);
  std::uint64_t line_number = 0;
  std::string_view line;
  const auto refuse = [&](std::string_view detail) {
    ++summary.lines;
    ++summary.bad_lines;
    output.Write(ToJson(BadLineResult(line_number, detail)) + "\n");
  };
  while (output.WaitForRoom() && producer.WaitForRoom(absl::InfiniteFuture()).ok()) {
    switch (reader.Next(&line)) {
      case LineReader::kEnd:
        return;
      case LineReader::kNotYet:
        producer.Kick();
        reader.Wait();
        continue;
      case LineReader::kTooLong:
        ++line_number;
        refuse("the line is longer than 8 MiB");
        continue;
      case LineReader::kLine:
        ++line_number;
        break;
    }
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    auto command = ParseCommandLine(line, line_number);
    if (!command.ok()) {
      const auto detail = command.status().message();
      refuse({detail.data(), detail.size()});
      continue;
    }
    ++summary.lines;
    const auto wait = pacer.Take(Pacer::Clock::now());
    if (wait > wait.zero()) {
      producer.Kick();
      reader.Sleep(wait);
    }
    auto on_result = results.OnResult(command->seq());
    Producer::OnReceipt on_receipt;
    if (Producer::AsksReport(*command, options.default_report)) on_receipt = results.OnReceipt();
    if (!producer
             .Send(*std::move(command), std::move(on_result), std::move(on_receipt),
                   Producer::More::kYes)
             .ok()) {
      return;
    }
    ++summary.commands;
  }
}

}  // namespace

absl::Status RunPushStream(const std::vector<std::shared_ptr<grpc::ChannelInterface>>& channels,
                           int in_fd, int out_fd, const PushStreamOptions& options,
                           PushStreamSummary& summary) {
  LineReader reader(in_fd, kMaxLineBytes);
  Producer::Options producer_options;
  producer_options.token = options.token;
  producer_options.producer_id = options.producer_id;
  producer_options.default_report = options.default_report;
  producer_options.max_batch = options.batch;
  producer_options.max_unanswered_bytes = kMaxUnansweredBytes;
  producer_options.max_command_bytes = kMaxLineBytes;
  producer_options.retry_unavailable_for =
      std::min(options.retry_for, producer_options.retry_unavailable_for);
  bool opened = false;
  producer_options.on_opened = [&](const v1::PushOpened& news) {
    if (!std::exchange(opened, true)) summary.last_seq = news.last_seq();
  };
  producer_options.on_broken = [&](const Producer::Outage& outage) {
    if (!outage.connected_before || outage.lasting >= options.retry_for) return false;
    if (options.on_retry) options.on_retry(outage);
    return true;
  };
  producer_options.on_end = [&](const absl::Status&) { reader.Stop(); };
  Producer producer(channels, std::move(producer_options));
  Output output(out_fd, [&] { producer.Cancel(); });
  Results results(output, summary);
  SendLines(reader, producer, output, results, options, summary);
  const absl::Status status = producer.Close(absl::InfiniteFuture());
  summary.output_lost = !output.Finish();
  return status;
}

}  // namespace herald::cli
