#pragma once

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/text.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {

// The calls that change sessions all answer how many were meant: makes one and prints that.
template <typename Request, typename Response>
ExitCode CallAndPrintMatched(const GlobalOptions& globals, const Request& request,
                             grpc::Status (v1::SessionService::Stub::*call)(grpc::ClientContext*,
                                                                            const Request&,
                                                                            Response*)) {
  const auto connection = Connection::Open(globals.connection);
  if (!connection.ok()) return UsageError(connection.status());
  const auto stub = v1::SessionService::NewStub(connection->channel());
  const auto context = connection->CallContext();
  Response response;
  const grpc::Status status = ((*stub).*call)(context.get(), request, &response);
  if (!status.ok()) return connection->Report(status);
  globals.json ? PrintJson(response)
               : Print(fmt::format("matched  {}\n", Thousands(response.matched())));
  return kOk;
}

}  // namespace herald::cli
