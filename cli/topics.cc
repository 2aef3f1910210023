// heraldctl join, heraldctl leave: other people's subscriptions.

#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/matched.h"
#include "cli/target_flags.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {
namespace {

struct TopicsFlags {
  TargetFlags target;
  std::vector<std::string> topics;
};

template <typename Request, typename Call>
ExitCode Change(const TopicsFlags& flags, const GlobalOptions& globals, Call call) {
  auto target = flags.target.Build();
  if (!target.ok()) return UsageError(target.status());
  Request request;
  *request.mutable_target() = *std::move(target);
  request.mutable_topics()->Add(flags.topics.begin(), flags.topics.end());
  return CallAndPrintMatched(globals, request, call);
}

std::shared_ptr<TopicsFlags> DeclareFlags(CLI::App& app) {
  auto flags = std::make_shared<TopicsFlags>();
  flags->target.Declare(app);
  app.add_option("topics", flags->topics, "The topics")->required()->type_name("");
  return flags;
}

}  // namespace

Action DeclareJoin(CLI::App& app) {
  return [flags = DeclareFlags(app)](const GlobalOptions& globals) {
    return Change<v1::JoinRequest>(*flags, globals, &v1::SessionService::Stub::Join);
  };
}

Action DeclareLeave(CLI::App& app) {
  return [flags = DeclareFlags(app)](const GlobalOptions& globals) {
    return Change<v1::LeaveRequest>(*flags, globals, &v1::SessionService::Stub::Leave);
  };
}

}  // namespace herald::cli
