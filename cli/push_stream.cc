#include "cli/push_stream.h"

#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <string_view>
#include <thread>

#include "cli/command_line.h"
#include "cli/line_reader.h"
#include "cli/output.h"
#include "cli/pacer.h"

namespace herald::cli {
namespace {

constexpr std::size_t kMaxLineBytes = 8 << 20;
// A gRPC server refuses requests above 4 MiB unless told otherwise.
constexpr std::size_t kMaxRequestBytes = 512 << 10;

using Stream = grpc::ClientReaderWriterInterface<v1::PushRequest, v1::PushResponse>;

// Whole lines from two threads to one descriptor.
class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}

  // False, now and later, when nobody reads any more.
  bool Write(std::string_view text) {
    const std::lock_guard lock(mutex_);
    while (!text.empty() && !lost_) {
      const ssize_t n = write(fd_, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) lost_ = true;
      if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    }
    return !lost_;
  }
  bool lost() const {
    const std::lock_guard lock(mutex_);
    return lost_;
  }

 private:
  const int fd_;
  mutable std::mutex mutex_;
  bool lost_ = false;
};

// The reading half: prints what the server says. On its own thread.
class Results {
 public:
  Results(Stream& stream, Output& output) : stream_(stream), output_(output) {}

  // Until the server ends the stream.
  void Run(grpc::ClientContext& context) {
    v1::PushResponse response;
    while (stream_.Read(&response)) {
      if (response.has_opened()) last_seq = response.opened().last_seq();
      std::string lines;
      for (const v1::CommandResult& result : response.results()) {
        ++(result.code() == 0 ? ok : refused);
        if (result.duplicate()) ++duplicates;
        lines += ToJson(result) + "\n";
      }
      for (const v1::Receipt& receipt : response.receipts()) {
        ++receipts;
        lines += ToJson(receipt) + "\n";
      }
      if (!output_.Write(lines)) context.TryCancel();
    }
  }

  std::uint64_t ok = 0;
  std::uint64_t refused = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t receipts = 0;
  std::uint64_t last_seq = 0;

 private:
  Stream& stream_;
  Output& output_;
};

// The writing half: gathers commands into requests.
class Batch {
 public:
  Batch(Stream& stream, const PushStreamOptions& options)
      : stream_(stream), max_commands_(options.batch) {
    if (options.producer_id.empty() && options.default_report == v1::REPORT_LEVEL_UNSPECIFIED)
      return;
    request_.mutable_open()->set_producer_id(options.producer_id);
    request_.mutable_open()->set_default_report(options.default_report);
  }

  // False when the stream has ended.
  bool Add(v1::Command command) {
    const std::size_t bytes = command.ByteSizeLong();
    if (bytes_ + bytes > kMaxRequestBytes && !Flush()) return false;
    bytes_ += bytes;
    *request_.add_commands() = std::move(command);
    return static_cast<std::size_t>(request_.commands_size()) < max_commands_ || Flush();
  }

  // Blocks while HTTP/2 flow control says so.
  bool Flush() {
    if (request_.commands().empty() && !request_.has_open()) return true;
    const bool written = stream_.Write(request_);
    request_.Clear();
    bytes_ = 0;
    return written;
  }

 private:
  Stream& stream_;
  const std::size_t max_commands_;
  v1::PushRequest request_;
  std::size_t bytes_ = 0;
};

void SendLines(LineReader& reader, Batch& batch, Output& output, double rate,
               PushStreamSummary& summary) {
  Pacer pacer(rate);
  std::uint64_t line_number = 0;
  std::string_view line;
  const auto refuse = [&](std::string_view detail) {
    ++summary.lines;
    ++summary.bad_lines;
    return output.Write(ToJson(BadLineResult(line_number, detail)) + "\n");
  };
  if (!batch.Flush()) return;  // `open`, also when no line ever comes
  for (;;) {
    switch (reader.Next(&line)) {
      case LineReader::kEnd:
        batch.Flush();
        return;
      case LineReader::kNotYet:
        if (!batch.Flush()) return;
        reader.Wait();
        continue;
      case LineReader::kTooLong:
        ++line_number;
        if (!refuse("the line is longer than 8 MiB")) return;
        continue;
      case LineReader::kLine:
        ++line_number;
        break;
    }
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    auto command = ParseCommandLine(line, line_number);
    if (!command.ok()) {
      const auto detail = command.status().message();
      if (!refuse({detail.data(), detail.size()})) return;
      continue;
    }
    ++summary.lines;
    const auto wait = pacer.Take(Pacer::Clock::now());
    if (wait > wait.zero()) {
      if (!batch.Flush()) return;
      reader.Sleep(wait);
    }
    if (!batch.Add(*std::move(command))) return;
    ++summary.commands;
  }
}

}  // namespace

grpc::Status RunPushStream(v1::PushService::StubInterface& stub, grpc::ClientContext& context,
                           int in_fd, int out_fd, const PushStreamOptions& options,
                           PushStreamSummary& summary) {
  Output output(out_fd);
  LineReader reader(in_fd, kMaxLineBytes);
  const auto stream = stub.Push(&context);
  Results results(*stream, output);
  std::thread reading([&] {
    results.Run(context);
    reader.Stop();  // the server takes nothing more
  });
  Batch batch(*stream, options);
  SendLines(reader, batch, output, options.rate, summary);
  stream->WritesDone();
  reading.join();
  summary.ok = results.ok;
  summary.refused = results.refused;
  summary.duplicates = results.duplicates;
  summary.receipts = results.receipts;
  summary.last_seq = results.last_seq;
  summary.output_lost = output.lost();
  return stream->Finish();
}

}  // namespace herald::cli
