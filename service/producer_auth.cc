#include "service/producer_auth.h"

#include <utility>

#include "absl/strings/match.h"
#include "fmt/format.h"

namespace herald {
namespace {

constexpr std::string_view kScheme = "bearer ";

absl::StatusOr<std::string> TokenOf(std::string_view authorization) {
  const bool bearer =
      authorization.size() > kScheme.size() &&
      absl::EqualsIgnoreCase(absl::string_view(authorization.data(), kScheme.size()), "bearer ");
  if (!bearer) {
    return absl::UnauthenticatedError(
        "a bearer token is needed: send `authorization: Bearer <token>`");
  }
  // RFC 9110 §11.4: one or more spaces.
  const std::size_t begin = authorization.find_first_not_of(' ', kScheme.size());
  return std::string(authorization.substr(std::min(begin, authorization.size())));
}

}  // namespace

ProducerTable::ProducerTable(std::vector<ProducerEntry> entries)
    : open_(false), entries_(std::move(entries)) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    for (const std::string& hash : entries_[i].token_hashes) by_token_[hash] = i;
    if (!entries_[i].certificate.empty()) by_certificate_[entries_[i].certificate] = i;
  }
}

absl::StatusOr<const ProducerEntry*> ProducerTable::Find(
    const ProducerCredential& credential) const {
  const ProducerEntry* by_certificate = nullptr;
  for (const std::string& name : credential.certificate) {
    const auto it = by_certificate_.find(name);
    if (it == by_certificate_.end()) continue;
    const ProducerEntry* const found = &entries_[it->second];
    if (by_certificate != nullptr && by_certificate != found)
      return absl::UnauthenticatedError("the certificate names two producers");
    by_certificate = found;
  }
  if (credential.authorization.empty()) {
    if (by_certificate != nullptr) return by_certificate;
    return absl::UnauthenticatedError(
        credential.certificate.empty()
            ? "a bearer token is needed: send `authorization: Bearer <token>`"
            : "producers_file names no producer with this certificate; send a bearer token, or add "
              "the certificate");
  }
  const absl::StatusOr<std::string> token = TokenOf(credential.authorization);
  if (!token.ok()) return token.status();
  const auto it = by_token_.find(HashToken(*token));
  if (it == by_token_.end()) return absl::UnauthenticatedError("the bearer token is not known");
  const ProducerEntry* const by_token = &entries_[it->second];
  if (by_certificate != nullptr && by_certificate != by_token)
    return absl::UnauthenticatedError("the bearer token and the certificate name two producers");
  return by_token;
}

ProducerAuth::ProducerAuth(std::shared_ptr<const ProducerTable> table)
    : state_(MakeState(std::move(table), nullptr)) {}

absl::StatusOr<std::shared_ptr<const ProducerTable>> ProducerAuth::Load(
    const std::string& path, std::vector<std::string>& warnings) {
  absl::StatusOr<ProducersFile> file = ReadProducersFile(path);
  if (!file.ok()) return file.status();
  warnings = std::move(file->warnings);
  return std::make_shared<const ProducerTable>(std::move(file->producers));
}

std::shared_ptr<const ProducerAuth::State> ProducerAuth::MakeState(
    std::shared_ptr<const ProducerTable> table, const State* before) const {
  auto state = std::make_shared<State>();
  StringMap<std::shared_ptr<ProducerAccount>> accounts;
  if (before != nullptr) {
    const auto& entries = before->table->entries();
    for (std::size_t i = 0; i < entries.size(); ++i)
      accounts[entries[i].rights.name] = before->accounts[i];
  }
  for (const ProducerEntry& entry : table->entries()) {
    // Lives as long as the table.
    state->rights.emplace_back(table, &entry.rights);
    std::shared_ptr<ProducerAccount>& account = accounts[entry.rights.name];
    if (!account) account = std::make_shared<ProducerAccount>();
    state->accounts.push_back(account);
  }
  state->table = std::move(table);
  return state;
}

absl::StatusOr<Producer> ProducerAuth::Check(const ProducerCredential& credential) const {
  // Before the table: a change in between is noticed at the next look.
  const std::uint64_t generation = this->generation();
  const State& state = state_.Get();
  if (state.table->open()) {
    return Producer{credential.certificate.empty() ? "" : credential.certificate.front(), nullptr,
                    others_, generation};
  }
  const absl::StatusOr<const ProducerEntry*> entry = state.table->Find(credential);
  if (!entry.ok()) {
    unauthenticated_.fetch_add(1, std::memory_order_relaxed);
    Tell(next_unauthenticated_told_ns_, "-", "authentication",
         std::string(entry.status().message()));
    return entry.status();
  }
  const auto index = static_cast<std::size_t>(*entry - state.table->entries().data());
  return Producer{(*entry)->rights.name, state.rights[index], state.accounts[index], generation};
}

ProducerAuth::Changes ProducerAuth::Replace(std::shared_ptr<const ProducerTable> table) {
  Changes changes;
  const State& before = state_.Get();
  StringMap<const ProducerEntry*> old;
  for (const ProducerEntry& entry : before.table->entries()) old[entry.rights.name] = &entry;
  for (const ProducerEntry& entry : table->entries()) {
    const auto it = old.find(entry.rights.name);
    if (it == old.end()) {
      changes.added.push_back(entry.rights.name);
      continue;
    }
    if (!(*it->second == entry)) changes.changed.push_back(entry.rights.name);
    old.erase(it);
  }
  for (const ProducerEntry& entry : before.table->entries()) {
    if (old.contains(entry.rights.name)) changes.removed.push_back(entry.rights.name);
  }
  if (*table == *before.table) return changes;
  state_.Set(MakeState(std::move(table), &before));
  generation_.fetch_add(1, std::memory_order_release);
  return changes;
}

void ProducerAuth::Tell(std::atomic<std::int64_t>& next_told_ns, std::string_view producer,
                        std::string_view what, std::string_view why) const {
  if (!on_refused_) return;
  const std::int64_t now = ProducerRate::Now();
  std::int64_t next = next_told_ns.load(std::memory_order_relaxed);
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (now < next || !next_told_ns.compare_exchange_strong(next, now + kSecond)) return;
  on_refused_(producer, what, why);
}

void ProducerAuth::Denied(const Producer& producer, const Denial& denial) const {
  producer.account->denied[static_cast<std::size_t>(denial.missing)].fetch_add(
      1, std::memory_order_relaxed);
  Tell(producer.account->next_told_ns, producer.name, Name(denial.missing), denial.why);
}

void ProducerAuth::Limited(const Producer& producer, ProducerLimit limit,
                           std::string_view why) const {
  const auto index = static_cast<std::size_t>(limit);
  producer.account->limited[index].fetch_add(1, std::memory_order_relaxed);
  Tell(producer.account->next_told_ns, producer.name, kProducerLimitNames[index], why);
}

std::map<std::string, std::shared_ptr<const ProducerAccount>> ProducerAuth::accounts() const {
  std::map<std::string, std::shared_ptr<const ProducerAccount>> accounts;
  const State& state = state_.Get();
  for (std::size_t i = 0; i < state.accounts.size(); ++i)
    accounts[state.table->entries()[i].rights.name] = state.accounts[i];
  accounts["-"] = others_;
  return accounts;
}

}  // namespace herald
