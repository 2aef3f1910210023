// Whole runs of heraldctl against a server that answers by script: exit codes, output, requests.
#include "cli/app.h"

#include <gmock/gmock.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "herald/v1/admin_service.grpc.pb.h"
#include "herald/v1/event_service.grpc.pb.h"
#include "herald/v1/push_service.grpc.pb.h"
#include "herald/v1/session_service.grpc.pb.h"

namespace herald::cli {
namespace {

using grpc::ServerContext;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Fake : v1::PushService::Service,
              v1::SessionService::Service,
              v1::AdminService::Service,
              v1::EventService::Service {
  // The answer of the next calls.
  grpc::Status status;
  // What came last.
  std::string authorization;
  v1::SendRequest send;
  v1::JoinRequest join;
  v1::SetLabelsRequest labels;
  v1::DisconnectRequest disconnect;
  v1::GetHistoryRequest history;
  v1::WatchOpen watch;
  std::vector<std::uint64_t> acked;
  std::uint64_t list_calls = 0;

  grpc::Status Seen(ServerContext* context) {
    const auto& metadata = context->client_metadata();
    const auto at = metadata.find("authorization");
    authorization = at == metadata.end() ? "" : std::string(at->second.data(), at->second.size());
    return status;
  }
  grpc::Status Send(ServerContext* context, const v1::SendRequest* request,
                    v1::SendResponse* response) override {
    send = *request;
    v1::CommandResult& result = *response->mutable_result();
    result.set_matched(1234);
    result.set_message_id("m1");
    v1::Position& position = *result.add_positions();
    position.set_topic("news");
    position.set_offset(17);
    position.set_token("tok");
    if (request->command().deliver().report() == v1::REPORT_LEVEL_WRITTEN) {
      response->mutable_receipt()->set_written(1233);
      (*response->mutable_receipt()->mutable_dropped())["slow_consumer"] = 1;
    }
    return Seen(context);
  }
  grpc::Status Join(ServerContext* context, const v1::JoinRequest* request,
                    v1::JoinResponse* response) override {
    join = *request;
    response->set_matched(2);
    return Seen(context);
  }
  grpc::Status SetLabels(ServerContext* context, const v1::SetLabelsRequest* request,
                         v1::SetLabelsResponse*) override {
    labels = *request;
    return Seen(context);
  }
  grpc::Status Disconnect(ServerContext* context, const v1::DisconnectRequest* request,
                          v1::DisconnectResponse*) override {
    disconnect = *request;
    return Seen(context);
  }
  // 1,200 sessions.
  grpc::Status ListSessions(ServerContext* context, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    ++list_calls;
    const std::uint64_t first =
        request->page_token().empty() ? 0 : std::stoull(request->page_token());
    const std::uint64_t end = std::min<std::uint64_t>(first + request->page_size(), 1200);
    for (std::uint64_t i = first; i < end; ++i) {
      response->add_sessions()->set_session_id("s" + std::to_string(i));
    }
    if (end < 1200) response->set_next_page_token(std::to_string(end));
    response->set_total(1200);
    return Seen(context);
  }
  grpc::Status GetHistory(ServerContext* context, const v1::GetHistoryRequest* request,
                          v1::GetHistoryResponse* response) override {
    history = *request;
    v1::HistoryEntry& entry = *response->add_entries();
    entry.mutable_position()->set_offset(5);
    entry.mutable_message()->set_payload("two\nlines");
    response->set_complete(request->since().empty());
    return Seen(context);
  }
  grpc::Status GetInfo(ServerContext* context, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override {
    response->set_broker("memory");
    response->add_nodes()->set_node("dev");
    return Seen(context);
  }
  grpc::Status Watch(
      ServerContext* context,
      grpc::ServerReaderWriter<v1::WatchResponse, v1::WatchRequest>* stream) override {
    v1::WatchRequest request;
    stream->Read(&request);
    watch = request.open();
    v1::WatchResponse response;
    for (std::uint64_t id = 1; id <= 3; ++id) {
      v1::Event& event = *response.add_events();
      event.set_id(id);
      event.set_kind(v1::EVENT_KIND_SUBSCRIBED);
      event.set_user_id("user" + std::to_string(id));
    }
    stream->Write(response);
    while (stream->Read(&request)) {
      acked.insert(acked.end(), request.ack_ids().begin(), request.ack_ids().end());
    }
    return Seen(context);
  }
};

class AppTest : public testing::Test {
 protected:
  AppTest() {
    unsetenv("HERALD_ADDR");
    unsetenv("HERALD_TOKEN");
    server_ = grpc::ServerBuilder()
                  .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_)
                  .RegisterService(static_cast<v1::PushService::Service*>(&fake_))
                  .RegisterService(static_cast<v1::SessionService::Service*>(&fake_))
                  .RegisterService(static_cast<v1::AdminService::Service*>(&fake_))
                  .RegisterService(static_cast<v1::EventService::Service*>(&fake_))
                  .BuildAndStart();
  }

  // Runs `heraldctl args…` without an address.
  int RunBare(const std::vector<std::string>& args) {
    std::vector<const char*> argv = {"heraldctl"};
    for (const std::string& arg : args) argv.push_back(arg.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunHeraldctl(static_cast<int>(argv.size()), argv.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }
  int Run(std::vector<std::string> args) {
    args.push_back("--addr=127.0.0.1:" + std::to_string(port_));
    return RunBare(args);
  }
  void Answer(grpc::StatusCode code, const std::string& detail) { fake_.status = {code, detail}; }

  Fake fake_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::string out_;
  std::string err_;
};

TEST_F(AppTest, SendSaysWhatBecameOfIt) {
  EXPECT_EQ(Run({"send", "--topic", "news", "--event", "e", "--attribute", "a=1", "--attribute",
                 "b=x=y", "hello"}),
            kOk);
  EXPECT_EQ(out_,
            "matched   1,234\n"
            "message   m1\n"
            "position  news at 17  tok\n");
  EXPECT_THAT(err_, IsEmpty());
  const v1::Deliver& deliver = fake_.send.command().deliver();
  EXPECT_EQ(deliver.target().topic(), "news");
  EXPECT_EQ(deliver.message().payload(), "hello");
  EXPECT_EQ(deliver.message().event(), "e");
  EXPECT_EQ(deliver.message().attributes().at("b"), "x=y");
}

TEST_F(AppTest, SendPassesEveryFlag) {
  EXPECT_EQ(Run({"send",
                 "--all",
                 "--content-type",
                 "text/x",
                 "--id",
                 "i",
                 "--idempotency-key",
                 "k",
                 "--ttl",
                 "1m30s",
                 "--priority",
                 "high",
                 "--collapse-key",
                 "c",
                 "--skip-history",
                 "--overflow",
                 "drop_oldest",
                 "--report",
                 "written",
                 "--report-timeout",
                 "250ms",
                 "--require-online",
                 "x"}),
            kOk);
  const v1::Deliver& deliver = fake_.send.command().deliver();
  EXPECT_EQ(deliver.message().content_type(), "text/x");
  EXPECT_EQ(deliver.message().id(), "i");
  EXPECT_EQ(deliver.idempotency_key(), "k");
  EXPECT_EQ(deliver.policy().ttl().seconds(), 90);
  EXPECT_EQ(deliver.policy().priority(), v1::PRIORITY_HIGH);
  EXPECT_EQ(deliver.policy().collapse_key(), "c");
  EXPECT_TRUE(deliver.policy().skip_history());
  EXPECT_EQ(deliver.policy().overflow(), v1::OVERFLOW_DROP_OLDEST);
  EXPECT_EQ(deliver.report(), v1::REPORT_LEVEL_WRITTEN);
  EXPECT_EQ(deliver.report_timeout().nanos(), 250'000'000);
  EXPECT_TRUE(deliver.require_online());
  EXPECT_THAT(out_, HasSubstr("1,233 written"));
  EXPECT_THAT(out_, HasSubstr("slow_consumer 1"));
}

TEST_F(AppTest, PayloadsThatLookLikeSomethingElse) {
  for (const std::string payload : {"[1,2,3]", "{\"a\":1}", "status", "a=b", "", "ü\n"}) {
    EXPECT_EQ(Run({"send", "--all", payload}), kOk) << err_;
    EXPECT_EQ(fake_.send.command().deliver().message().payload(), payload);
  }
  EXPECT_EQ(Run({"send", "--all", "--addr=127.0.0.1:" + std::to_string(port_), "--", "-5"}),
            kUsage);
  EXPECT_EQ(RunBare({"send", "--all", "--addr=127.0.0.1:" + std::to_string(port_), "--", "-5"}),
            kOk);
  EXPECT_EQ(fake_.send.command().deliver().message().payload(), "-5");
}

TEST_F(AppTest, PayloadFromAFile) {
  const std::string path = testing::TempDir() + "heraldctl_payload";
  std::ofstream(path) << std::string("a\0b\n", 4);
  EXPECT_EQ(Run({"send", "--all", "--file", path}), kOk);
  EXPECT_EQ(fake_.send.command().deliver().message().payload(), std::string("a\0b\n", 4));
  EXPECT_EQ(Run({"send", "--all", "--file", path, "and an argument"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--file", path + ".absent"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("No such file"));
  std::remove(path.c_str());
}

TEST_F(AppTest, WrongUsageIsTwoAndSendsNothing) {
  EXPECT_EQ(Run({"send", "no target"}), kUsage);
  EXPECT_EQ(Run({"send", "--all"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--ttl", "5", "x"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--ttl", "-5s", "x"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--report", "seen", "x"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--attribute", "x", "y"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "two", "payloads"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "--frob", "x"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "x", "--token", "a b"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "x", "--cert", "c.pem"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "x", "--key", "idempotency?"}), kUsage);
  EXPECT_EQ(Run({"send", "--all", "x", "--ca", "/absent.pem"}), kUsage);
  EXPECT_EQ(Run({"labels", "--all"}), kUsage);
  EXPECT_EQ(Run({"join", "--all"}), kUsage);
  EXPECT_EQ(Run({"watch", "--kind", "frobbed"}), kUsage);
  EXPECT_EQ(Run({"frob"}), kUsage);
  EXPECT_EQ(RunBare({}), kUsage);
  EXPECT_FALSE(fake_.send.has_command());
}

TEST_F(AppTest, ExitCodesOfAnswers) {
  const std::vector<std::string> send = {"send", "--all", "x"};
  Answer(grpc::StatusCode::INVALID_ARGUMENT, "target: unset");
  EXPECT_EQ(Run(send), kRefused);
  EXPECT_EQ(err_, "heraldctl: INVALID_ARGUMENT: target: unset\n");
  EXPECT_THAT(out_, IsEmpty());
  Answer(grpc::StatusCode::NOT_FOUND, "nobody matched");
  EXPECT_EQ(Run(send), kNotFound);
  Answer(grpc::StatusCode::UNAVAILABLE, "draining");
  EXPECT_EQ(Run(send), kRefused);  // it answered
  EXPECT_EQ(err_, "heraldctl: UNAVAILABLE: draining\n");
  Answer(grpc::StatusCode::UNAUTHENTICATED, "no credentials");
  EXPECT_EQ(Run(send), kRefused);
  EXPECT_THAT(err_, HasSubstr("HERALD_TOKEN"));
  Answer(grpc::StatusCode::UNIMPLEMENTED, "");
  EXPECT_EQ(Run(send), kRefused);
}

TEST_F(AppTest, NobodyThereIsThreeAndSaysWhatToDo) {
  server_->Shutdown();
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("cannot reach 127.0.0.1:" + std::to_string(port_)));
  EXPECT_THAT(err_, HasSubstr("Connection refused"));
  EXPECT_THAT(err_, HasSubstr("--addr"));
}

TEST_F(AppTest, AnAddressThatDoesNotResolveIsThree) {
  EXPECT_EQ(RunBare({"status", "--addr", "no-such-host.invalid:1", "--timeout", "5s"}),
            kUnreachable);
}

TEST_F(AppTest, GlobalFlagsMayStandOnBothSides) {
  const std::string addr = "127.0.0.1:" + std::to_string(port_);
  EXPECT_EQ(RunBare({"--addr", addr, "--token", "t", "status"}), kOk);
  EXPECT_EQ(fake_.authorization, "Bearer t");
  EXPECT_EQ(RunBare({"status", "--addr", addr}), kOk);
  EXPECT_EQ(fake_.authorization, "");
}

TEST_F(AppTest, EnvironmentGivesAddressAndToken) {
  setenv("HERALD_ADDR", ("127.0.0.1:" + std::to_string(port_)).c_str(), 1);
  setenv("HERALD_TOKEN", "from-env", 1);
  EXPECT_EQ(RunBare({"status"}), kOk);
  EXPECT_EQ(fake_.authorization, "Bearer from-env");
  EXPECT_EQ(RunBare({"status", "--token", "flag"}), kOk);
  EXPECT_EQ(fake_.authorization, "Bearer flag");
  const std::string path = testing::TempDir() + "heraldctl_token";
  std::ofstream(path) << "from-file\n";
  EXPECT_EQ(RunBare({"status", "--token-file", path}), kOk);
  EXPECT_EQ(fake_.authorization, "Bearer from-file");
  std::remove(path.c_str());
}

TEST_F(AppTest, JoinNamesTargetAndTopics) {
  EXPECT_EQ(Run({"join", "--user", "alice", "a", "b/c"}), kOk);
  EXPECT_EQ(out_, "matched  2\n");
  EXPECT_EQ(fake_.join.target().user_id(), "alice");
  EXPECT_THAT(fake_.join.topics(), ElementsAre("a", "b/c"));
}

TEST_F(AppTest, LabelsAndKick) {
  EXPECT_EQ(Run({"labels", "--all", "--set", "a=1", "--remove", "b,c"}), kOk);
  EXPECT_EQ(fake_.labels.set().at("a"), "1");
  EXPECT_THAT(fake_.labels.remove(), ElementsAre("b", "c"));
  EXPECT_EQ(Run({"kick", "--user", "m", "--code", "4999", "--reason", "bye", "--reconnect", "no",
                 "--delay", "2s"}),
            kOk);
  EXPECT_EQ(fake_.disconnect.code(), 4999U);
  EXPECT_EQ(fake_.disconnect.reason(), "bye");
  EXPECT_EQ(fake_.disconnect.reconnect(), v1::RECONNECT_NO);
  EXPECT_EQ(fake_.disconnect.reconnect_delay().seconds(), 2);
}

TEST_F(AppTest, SessionsReadsAllPages) {
  EXPECT_EQ(Run({"sessions"}), kOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 1202);
  EXPECT_THAT(out_, HasSubstr("1,200 sessions\n"));
  EXPECT_EQ(fake_.list_calls, 3U);
}

TEST_F(AppTest, SessionsStopsAtTheLimit) {
  EXPECT_EQ(Run({"sessions", "--limit", "600"}), kOk);
  EXPECT_THAT(out_, HasSubstr("600 of 1,200 sessions\n"));
  EXPECT_EQ(fake_.list_calls, 2U);
  EXPECT_EQ(Run({"sessions", "--limit", "3", "--json"}), kOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 3);
  EXPECT_THAT(out_, testing::StartsWith(R"({"session_id":"s0")"));
}

TEST_F(AppTest, HistoryIsATableAndSaysWhenItIsIncomplete) {
  EXPECT_EQ(Run({"history", "news", "--limit", "7", "--reverse"}), kOk);
  EXPECT_EQ(fake_.history.limit(), 7U);
  EXPECT_TRUE(fake_.history.reverse());
  EXPECT_THAT(out_, HasSubstr("two\\nlines"));
  EXPECT_THAT(err_, IsEmpty());
  EXPECT_EQ(Run({"history", "news", "--since", "old"}), kOk);
  EXPECT_THAT(err_, HasSubstr("missing"));
}

TEST_F(AppTest, WatchPrintsAndAcknowledges) {
  EXPECT_EQ(Run({"watch", "--kind", "subscribed,node_lost", "--topic", "a/*", "--group", "g",
                 "--count", "2"}),
            kOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\n'), 2);
  EXPECT_THAT(out_, HasSubstr("user2"));
  EXPECT_THAT(fake_.watch.kinds(),
              ElementsAre(v1::EVENT_KIND_SUBSCRIBED, v1::EVENT_KIND_NODE_LOST));
  EXPECT_THAT(fake_.watch.topic_patterns(), ElementsAre("a/*"));
  EXPECT_THAT(fake_.acked, ElementsAre(1U, 2U));  // and not the third, which nobody saw
}

TEST_F(AppTest, StatusForPeopleAndForPrograms) {
  EXPECT_EQ(Run({"status"}), kOk);
  EXPECT_THAT(out_, HasSubstr("SESSIONS"));
  EXPECT_EQ(Run({"status", "--json"}), kOk);
  EXPECT_THAT(out_, HasSubstr(R"("nodes":[{"node":"dev")"));
  EXPECT_EQ(Run({"status", "--watch", "--interval", "50ms", "--count", "2"}), kOk);
  EXPECT_EQ(std::count(out_.begin(), out_.end(), '\x1b'), 0);  // no terminal, no escape codes
}

TEST_F(AppTest, SubscribeSaysWhyItCannot) {
  EXPECT_EQ(RunBare({"subscribe", "--url", "wss:///ws"}), kUsage);
  EXPECT_EQ(RunBare({"subscribe", "--raw", "--since", "x", "--topic", "a"}), kUsage);
  EXPECT_EQ(RunBare({"subscribe", "--url", "ws://127.0.0.1:1/ws"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("Connection refused"));
}

TEST_F(AppTest, HelpOfEveryCommandFitsTheTerminal) {
  EXPECT_EQ(RunBare({"--help"}), kOk);
  const std::string all = out_;
  for (const char* command :
       {"send", "stream", "sessions", "session", "join", "leave", "labels", "kick", "presence",
        "history", "status", "health", "watch", "subscribe", "drain", "reload"}) {
    EXPECT_THAT(all, HasSubstr("\n  " + std::string(command) + " "));
    EXPECT_EQ(RunBare({command, "--help"}), kOk);
    EXPECT_THAT(out_, HasSubstr("Example"));
    std::string line;
    for (std::istringstream lines(out_); std::getline(lines, line);) {
      EXPECT_LE(line.size(), 82U) << command << ": " << line;  // the footer has an ellipsis in it
    }
  }
  EXPECT_EQ(RunBare({"--version"}), kOk);
  EXPECT_THAT(out_, testing::StartsWith("heraldctl "));
}

}  // namespace
}  // namespace herald::cli
