// heraldctl labels: change the labels of sessions.

#include <map>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/matched.h"
#include "cli/target_flags.h"

namespace herald::cli {
namespace {

struct LabelsFlags {
  TargetFlags target;
  std::map<std::string, std::string> set;
  std::vector<std::string> remove;
};

ExitCode Labels(const LabelsFlags& flags, const GlobalOptions& globals) {
  auto target = flags.target.Build();
  if (!target.ok()) return UsageError(target.status());
  if (flags.set.empty() && flags.remove.empty()) {
    return UsageError(absl::InvalidArgumentError("nothing to change; give --set or --remove"));
  }
  v1::SetLabelsRequest request;
  *request.mutable_target() = *std::move(target);
  request.mutable_set()->insert(flags.set.begin(), flags.set.end());
  request.mutable_remove()->Add(flags.remove.begin(), flags.remove.end());
  return CallAndPrintMatched(globals, request, &v1::SessionService::Stub::SetLabels);
}

}  // namespace

Action DeclareLabels(CLI::App& app) {
  auto flags = std::make_shared<LabelsFlags>();
  flags->target.Declare(app);
  AddPairs(app, "--set", flags->set, "Set this label; may be repeated");
  AddList(app, "--remove", flags->remove, "Remove these labels")->option_text("K1,K2");
  return [flags](const GlobalOptions& globals) { return Labels(*flags, globals); };
}

}  // namespace herald::cli
