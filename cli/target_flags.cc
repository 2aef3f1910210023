#include "cli/target_flags.h"

#include <algorithm>

#include "cli/flags.h"

namespace herald::cli {
namespace {

bool AllLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

bool LooksLikeSessionId(std::string_view text) {
  constexpr std::size_t kTail = 1 + 2 + 1 + 32;
  if (text.size() <= kTail) return false;
  const std::string_view tail = text.substr(text.size() - kTail);
  return tail[0] == '-' && tail[3] == '-' && AllLowerHex(tail.substr(1, 2)) &&
         AllLowerHex(tail.substr(4));
}

void TargetFlags::Declare(CLI::App& app, const std::string& group) {
  // Vectors also where one value is wanted: a flag given twice shall be our error and not the last
  // one's win.
  AddRepeated(app, "--user", user_, "All sessions of this user")->option_text("USER")->group(group);
  AddList(app, "--users", users_, "All sessions of these users")->option_text("A,B")->group(group);
  AddRepeated(app, "--session", session_, "This session")->option_text("ID")->group(group);
  AddRepeated(app, "--topic", topic_, "All subscribers of this topic")
      ->option_text("TOPIC")
      ->group(group);
  AddList(app, "--topics", topics_, "All subscribers of these topics")
      ->option_text("A,B")
      ->group(group);
  app.add_flag("--all", all_, "Every session")->group(group);
  AddRepeated(app, "--where", where_, "By labels: 'platform=web,tier in (gold),!beta'")
      ->option_text("SELECTOR")
      ->group(group);
  const std::string except = "Except";
  AddList(app, "--except", except_, "Not these sessions or users")
      ->option_text("A,B")
      ->group(except);
  AddList(app, "--except-session", except_sessions_, "Not these sessions")
      ->option_text("A,B")
      ->group(except);
  AddList(app, "--except-user", except_users_, "Not these users")
      ->option_text("A,B")
      ->group(except);
}

absl::StatusOr<v1::Target> TargetFlags::Build() const {
  const std::size_t named = user_.size() + session_.size() + topic_.size() + where_.size() +
                            (users_.empty() ? 0 : 1) + (topics_.empty() ? 0 : 1) + (all_ ? 1 : 0);
  if (named == 0) {
    return absl::InvalidArgumentError(
        "who is meant? give one of --user, --users, --session, --topic, --topics, --where, --all");
  }
  if (named > 1) {
    return absl::InvalidArgumentError(
        "more than one target; give just one of --user, --users, --session, --topic, --topics, "
        "--where, --all");
  }
  for (const auto* names : {&user_, &users_, &session_, &topic_, &topics_, &where_, &except_,
                            &except_sessions_, &except_users_}) {
    if (std::find(names->begin(), names->end(), "") != names->end()) {
      return absl::InvalidArgumentError("a name in the target or in the exceptions is empty");
    }
  }

  v1::Target target;
  if (!user_.empty()) target.set_user_id(user_[0]);
  for (const std::string& user : users_) target.mutable_users()->add_user_ids(user);
  if (!session_.empty()) target.set_session_id(session_[0]);
  if (!topic_.empty()) target.set_topic(topic_[0]);
  for (const std::string& topic : topics_) target.mutable_topics()->add_topics(topic);
  if (!where_.empty()) target.set_selector(where_[0]);
  if (all_) target.set_all(true);
  for (const std::string& name : except_) {
    LooksLikeSessionId(name) ? target.add_except_sessions(name) : target.add_except_users(name);
  }
  for (const std::string& id : except_sessions_) target.add_except_sessions(id);
  for (const std::string& user : except_users_) target.add_except_users(user);
  return target;
}

}  // namespace herald::cli
