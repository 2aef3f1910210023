#include "service/producers_file.h"

#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "session/utf8.h"
#include "yaml-cpp/yaml.h"

namespace herald {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxNameBytes = 64;
constexpr std::size_t kMaxCertificateBytes = 512;
constexpr std::uint64_t kMaxRate = 1'000'000'000'000;

absl::Status Bad(std::string what) { return absl::InvalidArgumentError(std::move(what)); }

absl::StatusOr<std::string> Scalar(const YAML::Node& node) {
  if (!node.IsScalar() || node.Scalar().empty()) return Bad("is not one value");
  return node.Scalar();
}

absl::StatusOr<std::vector<std::string>> List(const YAML::Node& node) {
  if (!node.IsSequence()) return Bad("is not a list");
  std::vector<std::string> texts;
  for (const YAML::Node& element : node) {
    absl::StatusOr<std::string> text = Scalar(element);
    if (!text.ok()) return Bad("has an entry that is not text");
    texts.push_back(*std::move(text));
  }
  return texts;
}

absl::Status ReadName(const YAML::Node& node, ProducerEntry& entry) {
  absl::StatusOr<std::string> name = Scalar(node);
  if (!name.ok()) return name.status();
  entry.rights.name = *std::move(name);
  return ValidateProducerName(entry.rights.name);
}

absl::Status ReadTokens(const YAML::Node& node, ProducerEntry& entry) {
  absl::StatusOr<std::vector<std::string>> texts = List(node);
  if (!texts.ok()) return texts.status();
  if (texts->empty() || texts->size() > kMaxTokens)
    return Bad(fmt::format("has {} hashes; 1 to {} are possible", texts->size(), kMaxTokens));
  for (const std::string& text : *texts) {
    const bool hex =
        text.size() == 2 * SHA256_DIGEST_LENGTH &&
        std::ranges::all_of(text, [](unsigned char c) { return absl::ascii_isxdigit(c); });
    // The text is not repeated: it could be a token that was put here by mistake.
    if (!hex) return Bad("has an entry that is not a SHA-256 hash of 64 hexadecimal digits");
    std::string hash = absl::HexStringToBytes(text);
    if (hash == HashToken("")) return Bad("has the hash of an empty token");
    entry.token_hashes.push_back(std::move(hash));
  }
  return absl::OkStatus();
}

absl::Status ReadCertificate(const YAML::Node& node, ProducerEntry& entry) {
  absl::StatusOr<std::string> text = Scalar(node);
  if (!text.ok()) return text.status();
  if (text->size() > kMaxCertificateBytes)
    return Bad(fmt::format("has over {} bytes", kMaxCertificateBytes));
  if (text->find('*') != std::string::npos) return Bad("has a wildcard; it is compared as it is");
  entry.certificate = *std::move(text);
  return absl::OkStatus();
}

absl::Status ReadMay(const YAML::Node& node, ProducerEntry& entry) {
  absl::StatusOr<std::vector<std::string>> texts = List(node);
  if (!texts.ok()) return texts.status();
  for (const std::string& text : *texts) {
    const auto* const verbs_end = kRightNames.begin() + kVerbs;
    const auto* const verb = std::find(kRightNames.begin(), verbs_end, text);
    if (verb == verbs_end) {
      return Bad(fmt::format("\"{}\" is not one of {}", text,
                             fmt::join(kRightNames.begin(), verbs_end, ", ")));
    }
    auto bit = entry.rights.may[static_cast<std::size_t>(verb - kRightNames.begin())];
    if (bit) return Bad(fmt::format("{} is there twice", text));
    bit = true;
  }
  return absl::OkStatus();
}

absl::Status ReadPatterns(const YAML::Node& node, PatternSet& set) {
  absl::StatusOr<std::vector<std::string>> texts = List(node);
  if (!texts.ok()) return texts.status();
  absl::StatusOr<PatternSet> patterns = PatternSet::Parse(*texts);
  if (!patterns.ok()) return patterns.status();
  set = *std::move(patterns);
  return absl::OkStatus();
}

absl::Status ReadTopics(const YAML::Node& node, ProducerEntry& entry) {
  if (absl::Status bad = ReadPatterns(node, entry.rights.reach.topics); !bad.ok()) return bad;
  for (const std::string& text : entry.rights.reach.topics.texts()) {
    if (IsReserved(text))
      return Bad(fmt::format("pattern \"{}\": reserved topics are covered by users and all", text));
  }
  return absl::OkStatus();
}

absl::Status ReadUsers(const YAML::Node& node, ProducerEntry& entry) {
  return ReadPatterns(node, entry.rights.reach.users);
}

absl::Status ReadSwitch(const YAML::Node& node, bool& value) {
  absl::StatusOr<std::string> text = Scalar(node);
  if (!text.ok()) return text.status();
  if (*text != "true" && *text != "false") return Bad("is not true or false");
  value = *text == "true";
  return absl::OkStatus();
}

absl::Status ReadRate(const YAML::Node& node, std::uint64_t& value) {
  absl::StatusOr<std::string> text = Scalar(node);
  if (!text.ok()) return text.status();
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool number = error == std::errc() && end == text->data() + text->size();
  if (!number || value == 0 || value > kMaxRate)
    return Bad(fmt::format("is not a whole number from 1 to {}", kMaxRate));
  return absl::OkStatus();
}

struct Key {
  std::string_view name;
  absl::Status (*read)(const YAML::Node& node, ProducerEntry& entry);
};
constexpr std::array kKeys = {
    Key{"name", ReadName},
    Key{"token_sha256", ReadTokens},
    Key{"certificate", ReadCertificate},
    Key{"may", ReadMay},
    Key{"topics", ReadTopics},
    Key{"users", ReadUsers},
    Key{"all", [](const YAML::Node& node,
                  ProducerEntry& entry) { return ReadSwitch(node, entry.rights.all); }},
    Key{"selectors", [](const YAML::Node& node,
                        ProducerEntry& entry) { return ReadSwitch(node, entry.rights.selectors); }},
    Key{"commands_per_second",
        [](const YAML::Node& node, ProducerEntry& entry) {
          return ReadRate(node, entry.rights.limits.commands_per_second);
        }},
    Key{"bytes_per_second",
        [](const YAML::Node& node, ProducerEntry& entry) {
          return ReadRate(node, entry.rights.limits.bytes_per_second);
        }},
    Key{"push_streams",
        [](const YAML::Node& node, ProducerEntry& entry) {
          return ReadRate(node, entry.rights.limits.push_streams);
        }},
};

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  absl::StatusOr<std::vector<ProducerEntry>> Read(const std::string& text) {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.empty() || documents[0].IsNull()) return Error({}, "holds no producers");
    if (documents.size() > 1) return Error(documents[1].Mark(), "a second YAML document");
    const YAML::Node& root = documents[0];
    if (!root.IsMap()) return Error(root.Mark(), "not a map with the key producers");
    std::vector<ProducerEntry> entries;
    bool seen = false;
    for (const auto& pair : root) {
      const std::string key = pair.first.IsScalar() ? pair.first.Scalar() : "";
      if (key != "producers")
        return Error(pair.first.Mark(), fmt::format("unknown key {}; there is producers", key));
      if (std::exchange(seen, true)) return Error(pair.first.Mark(), "producers is there twice");
      if (!pair.second.IsSequence() || pair.second.size() == 0)
        return Error(pair.first.Mark(), "producers is not a list with at least one entry");
      if (pair.second.size() > kMaxProducers) {
        return Error(pair.first.Mark(), fmt::format("producers has {} entries, more than {}",
                                                    pair.second.size(), kMaxProducers));
      }
      for (const YAML::Node& node : pair.second) {
        ProducerEntry entry;
        if (absl::Status bad = ReadEntry(node, entry); !bad.ok()) return bad;
        entries.push_back(std::move(entry));
      }
    }
    return entries;
  }

  absl::Status Error(const YAML::Mark& mark, std::string_view what) const {
    const std::string place = mark.is_null() ? path_ : fmt::format("{}:{}", path_, mark.line + 1);
    return Bad(fmt::format("producers_file {}: {}", place, what));
  }

 private:
  absl::Status ReadEntry(const YAML::Node& node, ProducerEntry& entry) {
    if (!node.IsMap()) return Error(node.Mark(), "a producer is not a map with a name");
    std::set<std::string> seen;
    YAML::Mark tokens, certificate;
    for (const auto& pair : node) {
      const std::string name = pair.first.IsScalar() ? pair.first.Scalar() : "";
      const auto* const key = std::ranges::find(kKeys, name, &Key::name);
      if (key == kKeys.end()) {
        std::vector<std::string_view> known;
        for (const Key& one : kKeys) known.push_back(one.name);
        return Error(pair.first.Mark(),
                     fmt::format("unknown key {}; there are {}", name, fmt::join(known, ", ")));
      }
      if (!seen.insert(name).second)
        return Error(pair.first.Mark(), fmt::format("{} is there twice", name));
      if (absl::Status bad = key->read(pair.second, entry); !bad.ok()) {
        return Error(pair.second.Mark(), fmt::format("{} {}", name, std::string(bad.message())));
      }
      if (name == "token_sha256") tokens = pair.second.Mark();
      if (name == "certificate") certificate = pair.second.Mark();
    }
    if (entry.rights.name.empty()) return Error(node.Mark(), "a producer has no name");
    const std::string& name = entry.rights.name;
    if (entry.token_hashes.empty() && entry.certificate.empty()) {
      return Error(node.Mark(),
                   fmt::format("producer {} has neither token_sha256 nor certificate", name));
    }
    if (!names_.insert(name).second)
      return Error(node.Mark(), fmt::format("producer {} is there twice", name));
    for (const std::string& hash : entry.token_hashes) {
      if (!hashes_.insert(hash).second)
        return Error(tokens, fmt::format("a hash of producer {} is there twice", name));
    }
    if (!entry.certificate.empty() && !certificates_.insert(entry.certificate).second)
      return Error(certificate, fmt::format("the certificate of producer {} is there twice", name));
    return absl::OkStatus();
  }

  const std::string& path_;
  std::set<std::string> names_, hashes_, certificates_;
};

}  // namespace

absl::Status ValidateProducerName(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxNameBytes &&
                    std::ranges::all_of(name, [](unsigned char c) {
                      return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
                    });
  if (good) return absl::OkStatus();
  return Bad(fmt::format("is not 1 to {} letters, digits, '.', '_' and '-'", kMaxNameBytes));
}

std::string HashToken(std::string_view token) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

absl::StatusOr<std::vector<ProducerEntry>> ParseProducers(const std::string& text,
                                                          const std::string& path) {
  Reader reader(path);
  try {
    return reader.Read(text);
  } catch (const YAML::Exception& exception) {
    return reader.Error(exception.mark, exception.msg);
  }
}

absl::StatusOr<ProducersFile> ReadProducersFile(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0 || S_ISDIR(file.st_mode)) {
    return Bad(fmt::format("producers_file {}: cannot be read: {}", path,
                           std::strerror(S_ISDIR(file.st_mode) ? EISDIR : errno)));
  }
  // Opening a FIFO would wait for a writer, maybe for ever.
  if (!S_ISREG(file.st_mode))
    return Bad(fmt::format("producers_file {}: is not a regular file", path));
  std::ifstream stream(path, std::ios::binary);
  if (!stream)
    return Bad(fmt::format("producers_file {}: cannot be read: {}", path, std::strerror(errno)));
  std::string text(kMaxFileBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMaxFileBytes)
    return Bad(fmt::format("producers_file {}: larger than 1 MiB", path));
  absl::StatusOr<std::vector<ProducerEntry>> entries = ParseProducers(text, path);
  if (!entries.ok()) return entries.status();
  ProducersFile result{*std::move(entries), {}};
  if ((file.st_mode & S_IROTH) != 0) {
    result.warnings.push_back(fmt::format(
        "producers_file {}: every user of this machine may read it; chmod o-r it", path));
  }
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    result.warnings.push_back(
        fmt::format("producers_file {}: others than its owner may change it; chmod go-w it", path));
  }
  return result;
}

}  // namespace herald
