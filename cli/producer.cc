// heraldctl producer: entries of producers_file, and their tokens. Asks no server.

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "service/producers_file.h"

namespace herald::cli {
namespace {

constexpr std::string_view kTokenPrefix = "heraldp_";
constexpr std::size_t kTokenBytes = 32;
constexpr std::size_t kMinTokenBytes = 16;
constexpr std::size_t kMaxFileBytes = 1 << 20;

struct ProducerFlags {
  std::string action;
  std::string name;
  std::vector<std::string> may, topics, users;
  bool all = false;
  bool selectors = false;
  std::string certificate;
  std::uint64_t commands_per_second = 0, bytes_per_second = 0, push_streams = 0;
  std::string file;
};

absl::StatusOr<std::string> NewToken() {
  unsigned char bytes[kTokenBytes];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1)
    return absl::InternalError("the system gives no random numbers");
  return std::string(kTokenPrefix) + absl::WebSafeBase64Escape(absl::string_view(
                                         reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

std::string HexHash(std::string_view token) { return absl::BytesToHexString(HashToken(token)); }

// A double-quoted YAML scalar. Patterns and names hold no control characters.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string QuotedList(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + Quoted(text);
  return "[" + list + "]";
}

// The entry as a list item, each line behind `indent`.
std::string Entry(const ProducerFlags& flags, std::string_view token, std::string_view indent) {
  std::string entry = fmt::format("{}- name: {}\n", indent, flags.name);
  const auto add = [&](std::string_view key, std::string_view value) {
    entry += fmt::format("{}  {}: {}\n", indent, key, value);
  };
  if (!token.empty()) add("token_sha256", QuotedList({HexHash(token)}));
  if (!flags.certificate.empty()) add("certificate", Quoted(flags.certificate));
  if (!flags.may.empty()) add("may", fmt::format("[{}]", fmt::join(flags.may, ", ")));
  if (!flags.topics.empty()) add("topics", QuotedList(flags.topics));
  if (!flags.users.empty()) add("users", QuotedList(flags.users));
  if (flags.all) add("all", "true");
  if (flags.selectors) add("selectors", "true");
  const auto limit = [&](std::string_view key, std::uint64_t value) {
    if (value != 0) add(key, std::to_string(value));
  };
  limit("commands_per_second", flags.commands_per_second);
  limit("bytes_per_second", flags.bytes_per_second);
  limit("push_streams", flags.push_streams);
  return entry;
}

// The indentation of the list items in `text`; two spaces if there are none.
std::string IndentOf(const std::string& text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::size_t item = text.find_first_not_of(' ', begin);
    if (item < end && text.compare(item, 2, "- ") == 0) return text.substr(begin, item - begin);
    begin = end + 1;
  }
  return "  ";
}

bool KeepOwnerAndMode(int file, const struct stat& before) {
  struct stat now{};
  if (::fstat(file, &now) != 0) return false;
  const bool same = now.st_uid == before.st_uid && now.st_gid == before.st_gid;
  if (!same && ::fchown(file, before.st_uid, before.st_gid) != 0) return false;
  return ::fchmod(file, before.st_mode & 07777) == 0;
}

// Replaces the file at once. A new one is readable by its owner only; otherwise owner and mode stay: the
// server may read it by them.
absl::Status WriteAtOnce(const std::string& path, const std::string& text) {
  const auto failed = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("cannot {} {}: {}", what, path, std::strerror(errno)));
  };
  struct stat before{};
  const bool replaces = ::stat(path.c_str(), &before) == 0;
  std::string temporary = path + ".XXXXXX";
  const int file = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (file < 0) return failed("write a file beside");
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(file, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  const bool kept = !replaces || KeepOwnerAndMode(file, before);
  const bool good = kept && written == text.size() && ::fsync(file) == 0;
  ::close(file);
  if (good && ::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const absl::Status status = failed(kept ? "write" : "keep the owner and the mode of");
  ::unlink(temporary.c_str());
  return status;
}

absl::Status Append(const ProducerFlags& flags, std::string_view token) {
  std::error_code none;
  // A link stays a link.
  const std::string path = std::filesystem::exists(flags.file, none)
                               ? std::filesystem::canonical(flags.file, none).string()
                               : flags.file;
  std::string text;
  std::size_t before = 0;
  if (std::filesystem::exists(path, none)) {
    absl::StatusOr<std::string> old = ReadFile(path, kMaxFileBytes);
    if (!old.ok()) return old.status();
    const absl::StatusOr<std::vector<ProducerEntry>> entries = ParseProducers(*old, flags.file);
    if (!entries.ok()) return entries.status();
    before = entries->size();
    text = *std::move(old);
    if (!text.ends_with('\n')) text += '\n';
  } else {
    text = "producers:\n";
  }
  text += Entry(flags, token, IndentOf(text));
  const absl::StatusOr<std::vector<ProducerEntry>> after = ParseProducers(text, flags.file);
  if (!after.ok()) return after.status();
  if (after->size() != before + 1) {
    return absl::InvalidArgumentError(fmt::format(
        "{} does not end with its list of producers; leave --file out and add the entry by hand",
        flags.file));
  }
  return WriteAtOnce(path, text);
}

ExitCode Add(const ProducerFlags& flags) {
  if (flags.name.empty())
    return UsageError(absl::InvalidArgumentError("producer add needs the name of the producer"));
  // A producer with a certificate alone has no token.
  std::string token;
  if (flags.certificate.empty()) {
    absl::StatusOr<std::string> made = NewToken();
    if (!made.ok()) return UsageError(made.status());
    token = *std::move(made);
  }
  const std::string entry = Entry(flags, token, "  ");
  const auto checked = ParseProducers("producers:\n" + entry, "entry");
  if (!checked.ok()) return UsageError(checked.status());
  if (!flags.file.empty()) {
    if (absl::Status bad = Append(flags, token); !bad.ok()) return UsageError(bad);
    if (!token.empty()) Print(token + "\n");
    return kOk;
  }
  Print(token.empty() ? entry : token + "\n" + entry);
  return kOk;
}

ExitCode Hash() {
  const absl::StatusOr<std::string> token = ReadToken("-");
  if (!token.ok()) return UsageError(token.status());
  if (token->size() < kMinTokenBytes) {
    return UsageError(absl::InvalidArgumentError(
        fmt::format("a token has at least {} characters", kMinTokenBytes)));
  }
  Print(HexHash(*token) + "\n");
  return kOk;
}

}  // namespace

Action DeclareProducer(CLI::App& app) {
  auto flags = std::make_shared<ProducerFlags>();
  app.add_option("action", flags->action,
                 "add: a producer with a new token; hash: of a token on stdin")
      ->required()
      ->option_text("add|hash")
      ->check(CLI::IsMember({"add", "hash"}));
  app.add_option("name", flags->name, "Of the producer")->option_text("NAME");
  const char* rights = "Rights";
  AddList(app, "--may", flags->may,
          "deliver, join, disconnect, labels, query, watch, handle, operate")
      ->option_text("A,B")
      ->group(rights);
  AddList(app, "--topics", flags->topics, "Patterns of topics [none]")
      ->option_text("A,B")
      ->group(rights);
  AddList(app, "--users", flags->users, "Patterns of user ids [none]")
      ->option_text("A,B")
      ->group(rights);
  app.add_flag("--all", flags->all, "Also all sessions at once")->group(rights);
  app.add_flag("--selectors", flags->selectors, "Also sessions by their labels")->group(rights);
  app.add_option("--certificate", flags->certificate,
                 "A name in its mTLS certificate, instead of a token")
      ->option_text("NAME")
      ->group(rights);
  const char* limits = "Limits on each replica";
  const auto number = [&](const char* flag, std::uint64_t& value, const char* help) {
    app.add_option(flag, value, help)->option_text("N")->group(limits);
  };
  number("--commands-per-second", flags->commands_per_second, "Commands and calls [no limit]");
  number("--bytes-per-second", flags->bytes_per_second, "Bytes of commands and calls [no limit]");
  number("--push-streams", flags->push_streams, "Open Push streams [half of max_push_streams]");
  app.add_option("--file", flags->file,
                 "Add the entry to this file instead of printing it; a new one has mode 0600")
      ->option_text("FILE");
  return [flags](const GlobalOptions&) { return flags->action == "hash" ? Hash() : Add(*flags); };
}

}  // namespace herald::cli
