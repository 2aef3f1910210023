#include "ws/auth/key_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "ws/auth/pem.h"

namespace herald {
namespace {

constexpr absl::Duration kCheckEvery = absl::Seconds(1);
constexpr std::size_t kMaxSources = 64;
constexpr std::size_t kMaxNotes = 256;

bool IsAllowed(Algorithm algorithm, const std::vector<Algorithm>& allowed) {
  return allowed.empty() || std::find(allowed.begin(), allowed.end(), algorithm) != allowed.end();
}

absl::Status CheckSource(const KeySource& source, const std::vector<Algorithm>& allowed) {
  if (source.kind == KeySource::Kind::kJwks || source.kind == KeySource::Kind::kJwksUrl)
    return absl::OkStatus();
  if (!IsAllowed(source.algorithm, allowed)) {
    return absl::InvalidArgumentError(fmt::format("{}: {} is not among the allowed algorithms",
                                                  source.path, AlgorithmName(source.algorithm)));
  }
  if ((source.kind == KeySource::Kind::kSecret) != (source.algorithm == Algorithm::kHs256)) {
    return absl::InvalidArgumentError(fmt::format("{}: {} does not go with this kind of file",
                                                  source.path, AlgorithmName(source.algorithm)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Key>> ParseSecretSource(std::string text) {
  absl::StatusOr<Key> key = ParseSecretText(std::move(text));
  if (!key.ok()) return key.status();
  return std::vector<Key>{*std::move(key)};
}

absl::StatusOr<std::vector<Key>> ParsePemSource(std::string_view text, Algorithm pinned) {
  absl::StatusOr<std::vector<Key>> keys = ParsePublicKeysPem(text);
  if (!keys.ok()) return keys;
  for (const Key& key : *keys) {
    if (key.algorithm != pinned) {
      return absl::InvalidArgumentError(fmt::format("holds a key for {}, but {} is configured",
                                                    AlgorithmName(key.algorithm),
                                                    AlgorithmName(pinned)));
    }
  }
  return keys;
}

// With the file's name in front of what is wrong.
absl::Status InSource(const KeySource& source, const absl::Status& status) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", source.path, std::string(status.message())));
}

// True if a token that names the id of `key`, or none, is tried with `other` too.
bool FitsSameToken(const Key& key, const Key& other) {
  return key.algorithm == other.algorithm && (other.id.empty() || other.id == key.id);
}

// So that every token is tried with all keys that fit it.
absl::Status CheckAttempts(const std::vector<Key>& keys) {
  for (const Key& key : keys) {
    const auto fitting = static_cast<std::size_t>(std::count_if(
        keys.begin(), keys.end(), [&](const Key& other) { return FitsSameToken(key, other); }));
    if (fitting <= kMaxAttempts) continue;
    return absl::InvalidArgumentError(fmt::format(
        "{} {} keys fit the same token, {} are allowed: give each key a 'kid' of its own", fitting,
        AlgorithmName(key.algorithm), kMaxAttempts));
  }
  return absl::OkStatus();
}

// `status` with the next fault behind it.
absl::Status Join(const absl::Status& status, const absl::Status& next) {
  if (status.ok()) return next;
  if (next.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}; {}", std::string(status.message()),
                                                 std::string(next.message())));
}

}  // namespace

absl::StatusOr<KeySource> ParseKeySource(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) {
    return absl::InvalidArgumentError(
        fmt::format("key '{}': expected HS256, RS256, ES256, EdDSA or jwks, ':' and a path", text));
  }
  const std::string_view kind = text.substr(0, colon);
  std::string path(text.substr(colon + 1));
  if (kind == "jwks") return KeySource{.kind = KeySource::Kind::kJwks, .path = std::move(path)};
  const std::optional<Algorithm> algorithm = ParseAlgorithm(kind);
  if (!algorithm.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("key '{}': '{}' is none of HS256, RS256, ES256, EdDSA, jwks", text, kind));
  }
  return KeySource{
      *algorithm == Algorithm::kHs256 ? KeySource::Kind::kSecret : KeySource::Kind::kPem,
      *algorithm, std::move(path)};
}

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Load(const std::vector<KeySource>& sources,
                                                         std::vector<Algorithm> allowed) {
  if (sources.empty()) return absl::InvalidArgumentError("no key file is configured");
  if (sources.size() > kMaxSources) {
    return absl::InvalidArgumentError(fmt::format("more than {} key files", kMaxSources));
  }
  std::unique_ptr<KeyStore> store(new KeyStore(std::move(allowed)));
  const std::lock_guard lock(store->reload_mutex_);
  for (const KeySource& source : sources) {
    if (absl::Status status = CheckSource(source, store->allowed_); !status.ok()) return status;
    Entry entry{.source = source, .stamp = {}, .error = {}, .keys = {}};
    if (absl::Status status = store->ReadEntry(entry); !status.ok()) return status;
    store->entries_.push_back(std::move(entry));
  }
  if (absl::Status status = store->Publish(); !status.ok()) return status;
  return store;
}

std::shared_ptr<const KeySet> KeyStore::Keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

bool KeySet::Contains(std::uint64_t fingerprint) const {
  return std::any_of(keys.begin(), keys.end(),
                     [fingerprint](const Key& key) { return key.fingerprint == fingerprint; });
}

void KeyStore::NoteSkipped(const KeySource& source, const std::vector<std::string>& skipped) {
  for (const std::string& what : skipped) {
    if (notes_.size() == kMaxNotes) return;
    notes_.push_back(fmt::format("{}: {}; this key is skipped", source.path, what));
  }
}

absl::StatusOr<std::vector<Key>> KeyStore::Parse(const KeySource& source, std::string text) {
  absl::StatusOr<std::vector<Key>> keys = absl::InternalError("unreachable");
  std::vector<std::string> skipped;
  switch (source.kind) {
    case KeySource::Kind::kSecret:
      if (text.starts_with(kByteOrderMark) && notes_.size() < kMaxNotes) {
        notes_.push_back(fmt::format(
            "{}: begins with a byte-order mark (EF BB BF), which counts as part of the secret",
            source.path));
      }
      keys = ParseSecretSource(std::move(text));
      break;
    case KeySource::Kind::kPem:
      keys = ParsePemSource(text, source.algorithm);
      break;
    case KeySource::Kind::kJwks:
    case KeySource::Kind::kJwksUrl:
      keys = ParseJwks(text, allowed_, &skipped);
      break;
  }
  if (!keys.ok()) return InSource(source, keys.status());
  if (absl::Status status = CheckAttempts(*keys); !status.ok()) return InSource(source, status);
  NoteSkipped(source, skipped);
  return keys;
}

absl::Status KeyStore::SetFetched(std::string_view jwks) {
  const std::lock_guard lock(reload_mutex_);
  for (Entry& entry : entries_) {
    if (entry.source.kind != KeySource::Kind::kJwksUrl) continue;
    absl::StatusOr<std::vector<Key>> keys = Parse(entry.source, std::string(jwks));
    if (!keys.ok()) return keys.status();
    std::swap(entry.keys, *keys);
    absl::Status status = Publish();
    if (!status.ok()) std::swap(entry.keys, *keys);
    return status;
  }
  return absl::InvalidArgumentError("no URL is configured for keys");
}

std::vector<std::string> KeyStore::TakeNotes() {
  const std::lock_guard lock(reload_mutex_);
  return std::exchange(notes_, {});
}

absl::Status KeyStore::ReadEntry(Entry& entry) {
  const KeySource& source = entry.source;
  if (source.kind == KeySource::Kind::kJwksUrl) return absl::OkStatus();
  absl::StatusOr<KeyFile> file = ReadKeyFile(source.path);
  entry.stamp = file.ok() ? file->stamp : StampOf(source.path);
  absl::StatusOr<std::vector<Key>> keys =
      file.ok() ? Parse(source, std::move(file->text)) : file.status();
  if (!keys.ok()) {
    entry.error = std::string(keys.status().message());
    return keys.status();
  }
  entry.error.clear();
  entry.keys = *std::move(keys);
  return absl::OkStatus();
}

absl::Status KeyStore::Publish() {
  auto keys = std::make_shared<KeySet>();
  for (const Entry& entry : entries_) {
    keys->keys.insert(keys->keys.end(), entry.keys.begin(), entry.keys.end());
  }
  if (keys->keys.size() > kMaxKeys) {
    return absl::InvalidArgumentError(
        fmt::format("the key files hold {} keys, {} are allowed", keys->keys.size(), kMaxKeys));
  }
  if (absl::Status status = CheckAttempts(keys->keys); !status.ok()) return status;
  const std::lock_guard lock(mutex_);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

absl::Status KeyStore::Reload() {
  const std::lock_guard lock(reload_mutex_);
  absl::Status result;
  for (Entry& entry : entries_) result = Join(result, ReadEntry(entry));
  return Join(result, Publish());
}

absl::Status KeyStore::ReloadIfChanged(absl::Time now) {
  const std::unique_lock lock(reload_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return absl::OkStatus();  // another thread is at it
  // A clock that was set back must not stop the checks.
  if (now >= last_check_ && now - last_check_ < kCheckEvery) return absl::OkStatus();
  last_check_ = now;

  absl::Status result;
  bool any_new_keys = false;
  for (Entry& entry : entries_) {
    if (entry.source.kind == KeySource::Kind::kJwksUrl) continue;
    // A bad file is read again although it did not change: the fault may have
    // been in the reading (no file descriptor left, say).
    if (entry.error.empty() && StampOf(entry.source.path) == entry.stamp) continue;
    const FileStamp old_stamp = entry.stamp;
    const std::string old_error = entry.error;
    const absl::Status status = ReadEntry(entry);
    any_new_keys |= status.ok();
    const bool reported = entry.error == old_error && entry.stamp == old_stamp;
    if (!reported) result = Join(result, status);
  }
  return any_new_keys ? Join(result, Publish()) : result;
}

}  // namespace herald
