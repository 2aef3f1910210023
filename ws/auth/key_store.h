// The keys that tokens are verified with, read from files and re-read when these
// change, or given by whoever fetches them from a URL.
//
// A file that turns bad, or goes away, keeps the keys it last gave: a broken
// rotation must not lock everyone out. To withdraw a key, replace its file by
// one with another key, or restart.
//
// Threads:   all methods from any thread. Load and the reloads read files, so
//            call them off the shards. Readers hold a snapshot.
// Ownership: a snapshot lives as long as someone holds it.
// Limits:    64 sources and 64 keys in all; files as in key_file.h. At most kMaxAttempts keys may
//            fit one token (same algorithm, and the same `kid` or none). Files are looked at (one
//            `stat` each) at most once a second.
// Errors:    kInvalidArgument, kNotFound or kUnavailable, naming each bad file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ws/auth/algorithm.h"
#include "ws/auth/jwks.h"
#include "ws/auth/key.h"
#include "ws/auth/key_file.h"

namespace herald {

struct KeySource {
  enum class Kind {
    kSecret,
    kPem,
    kJwks,
    kJwksUrl,  // `path` is the URL; its text comes by SetFetched
  };

  Kind kind = Kind::kJwks;
  // Pinned here for kSecret (HS256) and kPem; a JWKS pins it key by key.
  Algorithm algorithm = Algorithm::kHs256;
  std::string path = {};
};

// "HS256:<path>" a secret; "RS256:<path>", "ES256:<path>", "EdDSA:<path>" public
// keys in PEM; "jwks:<path>" a key set. kInvalidArgument for others.
absl::StatusOr<KeySource> ParseKeySource(std::string_view text);

// How many signatures one token may cost.
inline constexpr std::size_t kMaxAttempts = 4;

struct KeySet {
  std::vector<Key> keys;

  // True if a key with this fingerprint is in the set.
  bool Contains(std::uint64_t fingerprint) const;
};

class KeyStore {
 public:
  // Reads all files; every one must be good. An empty `allowed` allows all
  // algorithms; a secret or PEM source of another algorithm is an error.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Load(const std::vector<KeySource>& sources,
                                                        std::vector<Algorithm> allowed = {});

  std::shared_ptr<const KeySet> Keys() const;

  // Re-reads all files now. Not OK if one is bad; the others' new keys count.
  absl::Status Reload();

  // Re-reads the files that changed since they were last read, at most once a
  // second. A fault is reported once, and again only when it changes.
  absl::Status ReloadIfChanged(absl::Time now);

  // Replaces the keys of the kJwksUrl source by those of `jwks`. kInvalidArgument, and the old keys
  // stay, if the set is unusable or there is no such source.
  absl::Status SetFetched(std::string_view jwks);

  // What an operator should know of the files read since the last call, one line each, beginning
  // with the file's name: keys that were skipped, a byte-order mark in a secret.
  std::vector<std::string> TakeNotes();

 private:
  struct Entry {
    KeySource source;
    FileStamp stamp;        // of the version that `keys` or `error` came from
    std::string error;      // of the last reading; empty if it was good
    std::vector<Key> keys;  // the last good ones
  };

  explicit KeyStore(std::vector<Algorithm> allowed) : allowed_(std::move(allowed)) {}

  absl::Status ReadEntry(Entry& entry);
  absl::StatusOr<std::vector<Key>> Parse(const KeySource& source, std::string text);
  void NoteSkipped(const KeySource& source, const std::vector<std::string>& skipped);
  // Makes the snapshot from all entries.
  absl::Status Publish();

  const std::vector<Algorithm> allowed_;

  std::mutex reload_mutex_;                       // held while files are read; taken before mutex_
  std::vector<Entry> entries_;                    // under reload_mutex_
  absl::Time last_check_ = absl::InfinitePast();  // under reload_mutex_
  std::vector<std::string> notes_;                // under reload_mutex_; at most kMaxNotes

  mutable std::mutex mutex_;            // held for a copy of the pointer
  std::shared_ptr<const KeySet> keys_;  // under mutex_
};

}  // namespace herald
