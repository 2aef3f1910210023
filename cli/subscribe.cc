// heraldctl subscribe: a client in the terminal.

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/client_frames.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/flags.h"
#include "cli/line_reader.h"
#include "cli/output.h"
#include "cli/text.h"
#include "cli/websocket_client.h"

namespace herald::cli {
namespace {

constexpr std::size_t kMaxLineBytes = 1 << 20;
constexpr std::uint32_t kConnectId = 1;
constexpr std::uint32_t kFirstSubscribeId = 2;

struct SubscribeFlags {
  std::string url = "ws://127.0.0.1:8080/ws";
  std::vector<std::string> topics;       // of --topic; Subscribe adds those of --topics
  std::vector<std::string> more_topics;  // of --topics
  std::string since;
  std::string token;
  std::string token_file;
  bool raw = false;
  bool send = false;
  std::string publish;
  std::string event;
  bool no_ack = false;
  bool with_topic = false;
  std::uint64_t count = 0;
  std::optional<absl::Duration> limit;

  bool reads_stdin() const { return send || !publish.empty(); }
};

// Both protocols, on top of a WebSocketClient.
class Subscriber {
 public:
  Subscriber(const SubscribeFlags& flags, bool json, WebSocketClient::Options options)
      : flags_(flags), json_(json), token_(options.bearer_token), client_(WithoutToken(options)) {}

  ExitCode Run() {
    const WebSocketClient::End end = client_.Run(
        {.on_open = [this] { OnOpen(); },
         .on_message = [this](std::string_view data, bool text) { OnMessage(data, text); }});
    reader_.Stop();
    if (typing_.joinable()) typing_.join();
    return Report(end);
  }

 private:
  // With an envelope the token goes into `connect`, where an error has a name and not just a
  // status.
  WebSocketClient::Options WithoutToken(WebSocketClient::Options options) const {
    if (!flags_.raw) options.bearer_token.clear();
    return options;
  }

  void OnOpen() {
    if (flags_.raw) {
      StartTyping();
    } else {
      client_.Send(ConnectFrame(kConnectId, token_));
    }
  }

  void OnMessage(std::string_view data, bool text) {
    if (flags_.raw) {
      PrintMessage(data, text, "");
      return;
    }
    const auto frame = ParseServerFrame(data);
    if (!frame.ok()) {
      PrintError(fmt::format("{}: {}", std::string(frame.status().message()), data));
      return;
    }
    if (json_ && !Done()) Print(std::string(data) + "\n");
    switch (frame->kind) {
      case ServerFrame::kHello:
        Note(frame->note);
        for (std::size_t i = 0; i < flags_.topics.size(); ++i) {
          client_.Send(SubscribeFrame(static_cast<std::uint32_t>(kFirstSubscribeId + i),
                                      flags_.topics[i], flags_.since));
        }
        StartTyping();
        break;
      case ServerFrame::kMessage: {
        const std::string prefix =
            fmt::format("{} #{}  {}{}", frame->topic.empty() ? "-" : frame->topic, frame->offset,
                        frame->event, frame->event.empty() ? "" : "  ");
        PrintMessage(frame->payload, true, prefix);
        if (!flags_.no_ack && frame->offset > 0) {
          client_.Send(AckFrame(frame->topic, frame->offset));
        }
        break;
      }
      case ServerFrame::kReply:
        OnReply(*frame);
        break;
      case ServerFrame::kOther:
        Note(frame->note);
        break;
    }
  }

  void OnReply(const ServerFrame& frame) {
    if (frame.error.empty()) return Note(frame.note);
    const std::size_t topic = frame.id - kFirstSubscribeId;
    const bool subscribing = frame.id >= kFirstSubscribeId && topic < flags_.topics.size();
    PrintError(subscribing
                   ? fmt::format("cannot subscribe to {}: {}", flags_.topics[topic], frame.error)
                   : frame.error);
    failed_ = true;
    // A line that was refused is not the end; a subscription that was asked for on the command line
    // is.
    if (subscribing || frame.id == kConnectId) client_.Close();
  }

  void PrintMessage(std::string_view payload, bool text, const std::string& prefix) {
    if (Done()) return;
    if (flags_.raw && json_) {
      Print(RawJson(payload, text) + "\n");
    } else if (!json_) {
      // A pipe gets the bytes as they came; a terminal must not be driven by them.
      const std::string body =
          isatty(STDOUT_FILENO) != 0 ? Printable(payload) : std::string(payload);
      Print((flags_.with_topic ? Printable(prefix) : "") + body + "\n");
    }
    ++messages_;
    if (Done()) client_.Close();
  }

  bool Done() const { return flags_.count > 0 && messages_ >= flags_.count; }

  void Note(const std::string& note) const {
    if (!note.empty() && !json_) PrintError(note);
  }

  // Lines from stdin go to the server, as fast as it takes them.
  void StartTyping() {
    if (!flags_.reads_stdin() || typing_.joinable()) return;
    typing_ = std::thread([this] {
      std::uint32_t id = static_cast<std::uint32_t>(kFirstSubscribeId + flags_.topics.size());
      std::string_view line;
      for (;;) {
        switch (reader_.Next(&line)) {
          case LineReader::kEnd:
            return;
          case LineReader::kNotYet:
            reader_.Wait();
            break;
          case LineReader::kTooLong:
            PrintError("a line of more than 1 MiB was not sent");
            break;
          case LineReader::kLine:
            if (!client_.Send(OutgoingFrame(id++, line))) return;
            break;
        }
      }
    });
  }

  std::string OutgoingFrame(std::uint32_t id, std::string_view line) const {
    if (flags_.raw) return std::string(line);
    return flags_.publish.empty() ? UpstreamFrame(id, flags_.event, line)
                                  : PublishFrame(id, flags_.publish, flags_.event, line);
  }

  ExitCode Report(const WebSocketClient::End& end) const {
    switch (end.how) {
      case WebSocketClient::End::kStopped:
        return failed_ ? kRefused : kOk;
      case WebSocketClient::End::kClosed:
        PrintError(fmt::format("closed by the server: {} {}", end.code, end.reason));
        return end.code == 1000 && !failed_ ? kOk : kRefused;
      case WebSocketClient::End::kRefused:
        PrintError(fmt::format("{} answers HTTP {}{}{}{}", flags_.url, end.code,
                               end.reason.empty() ? "" : ": ", end.reason,
                               end.code == 401 ? "; set --token or HERALD_CLIENT_TOKEN" : ""));
        return kRefused;
      case WebSocketClient::End::kUnreachable:
        break;
    }
    PrintError(fmt::format("cannot reach {}: {}; is herald running there? set --url", flags_.url,
                           end.reason));
    return kUnreachable;
  }

  const SubscribeFlags& flags_;
  const bool json_;
  const std::string token_;
  WebSocketClient client_;
  LineReader reader_{STDIN_FILENO, kMaxLineBytes};
  std::thread typing_;
  std::uint64_t messages_ = 0;
  bool failed_ = false;
};

// Raw sessions name their topics in the URL.
std::string WithTopics(std::string target, const std::vector<std::string>& topics) {
  if (topics.empty()) return target;
  target += target.find('?') == std::string::npos ? "?topics=" : "&topics=";
  for (std::size_t i = 0; i < topics.size(); ++i) {
    if (i > 0) target += ',';
    target += PercentEncode(topics[i]);
  }
  return target;
}

absl::StatusOr<WebSocketClient::Options> BuildOptions(const SubscribeFlags& flags,
                                                      const GlobalOptions& globals) {
  if (flags.raw && (!flags.since.empty() || !flags.publish.empty() || !flags.event.empty())) {
    return absl::InvalidArgumentError(
        "--since, --publish and --event need an envelope: they do not go with --raw");
  }
  if (flags.send && !flags.publish.empty()) {
    return absl::InvalidArgumentError("--send and --publish: give one of them");
  }
  if (!flags.since.empty() && flags.topics.size() != 1) {
    return absl::InvalidArgumentError("--since is a position in one topic: give one --topic");
  }
  if (!flags.token.empty() && !flags.token_file.empty()) {
    return absl::InvalidArgumentError("--token and --token-file: give one of them");
  }
  auto url = ParseWebSocketUrl(flags.url);
  if (!url.ok()) return url.status();
  WebSocketClient::Options options;
  options.url = *std::move(url);
  if (flags.raw) {
    options.url.target = WithTopics(options.url.target, flags.topics);
  } else {
    options.subprotocol = "herald.v1.json";
  }
  options.bearer_token = flags.token;
  if (!flags.token_file.empty()) {
    auto token = ReadToken(flags.token_file);
    if (!token.ok()) return token.status();
    options.bearer_token = *std::move(token);
  } else if (const char* env = std::getenv("HERALD_CLIENT_TOKEN"); flags.token.empty() && env) {
    options.bearer_token = env;
  }
  options.ca_file = globals.connection.ca_file;
  options.server_name = globals.connection.server_name;
  options.connect_timeout = absl::ToChronoMilliseconds(globals.connection.timeout);
  if (flags.limit) options.limit = absl::ToChronoMilliseconds(*flags.limit);
  return options;
}

ExitCode Subscribe(const SubscribeFlags& flags, const GlobalOptions& globals) {
  auto options = BuildOptions(flags, globals);
  if (!options.ok()) return UsageError(options.status());
  return Subscriber(flags, globals.json, *std::move(options)).Run();
}

}  // namespace

Action DeclareSubscribe(CLI::App& app) {
  auto flags = std::make_shared<SubscribeFlags>();
  if (const char* url = std::getenv("HERALD_URL"); url != nullptr && *url != '\0') flags->url = url;
  app.add_option("--url", flags->url, "Where (or env HERALD_URL)\n[ws://127.0.0.1:8080/ws]")
      ->option_text("URL");
  AddRepeated(app, "--topic", flags->topics, "Subscribe to this one; may be repeated")
      ->option_text("TOPIC");
  AddList(app, "--topics", flags->more_topics, "Subscribe to these")->option_text("A,B");
  app.add_option("--since", flags->since, "First what followed this position")
      ->option_text("POSITION");
  app.add_option("--token", flags->token, "The client's JWT (or env HERALD_CLIENT_TOKEN)")
      ->option_text("JWT");
  app.add_option("--token-file", flags->token_file, "Read it from this file")->option_text("FILE");
  app.add_flag("--raw", flags->raw, "No subprotocol: frames are payloads");
  app.add_flag("--send", flags->send, "Lines from stdin go to backends that watch");
  app.add_option("--publish", flags->publish, "Lines from stdin go to this topic's others")
      ->option_text("TOPIC");
  app.add_option("--event", flags->event, "Event name of what is sent")->option_text("NAME");
  app.add_flag("--no-ack", flags->no_ack, "Do not acknowledge what was printed");
  app.add_flag("--with-topic", flags->with_topic, "Topic, offset and event before the payload");
  app.add_option("--count", flags->count, "End after so many messages")->option_text("N");
  AddDuration(app, "--for", flags->limit, "End after so long");
  return [flags](const GlobalOptions& globals) {
    std::vector<std::string>& topics = flags->topics;
    topics.insert(topics.end(), flags->more_topics.begin(), flags->more_topics.end());
    return Subscribe(*flags, globals);
  };
}

}  // namespace herald::cli
