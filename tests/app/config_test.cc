#include "app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings.h"
#include "fmt/format.h"

namespace herald {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

absl::StatusOr<Config> Load(std::vector<const char*> arguments, const Environment& env = {}) {
  arguments.insert(arguments.begin(), "herald");
  return LoadConfig(static_cast<int>(arguments.size()), arguments.data(), env);
}

std::string Message(const absl::StatusOr<Config>& config) {
  return std::string(config.status().message());
}

class ConfigTest : public ::testing::Test {
 protected:
  ~ConfigTest() override { std::filesystem::remove(path_); }

  // Loads `yaml` as the file of --config, after which `arguments` follow.
  absl::StatusOr<Config> LoadYaml(const std::string& yaml,
                                  const std::vector<const char*>& arguments = {"--allow_anonymous"},
                                  const Environment& env = {}) {
    std::ofstream(path_) << yaml;
    const std::string flag = "--config=" + path_;
    std::vector<const char*> all = {flag.c_str()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return Load(all, env);
  }

  std::string path_ = fmt::format("{}herald_config_{}.yaml", ::testing::TempDir(),
                                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ConfigTest, DefaultsAreTheDocumentedOnes) {
  const absl::StatusOr<Config> config = Load({"--allow_anonymous"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(ToString(config->client_addr), "0.0.0.0:8080");
  EXPECT_EQ(ToString(config->grpc_addr), "127.0.0.1:50051");
  EXPECT_EQ(ToString(config->admin_addr), "127.0.0.1:9090");
  EXPECT_FALSE(config->node_name.empty());
  EXPECT_FALSE(config->enable_raw);
  EXPECT_EQ(config->limits.max_message_bytes, 65536u);
  EXPECT_EQ(config->limits.ping_interval, absl::Seconds(25));
  EXPECT_EQ(config->origins.at("max_history_bytes_total"), "derived");
  EXPECT_GT(config->limits.max_memory_bytes, config->max_history_bytes_total);
}

TEST_F(ConfigTest, FlagsBeatEnvironmentBeatsFileBeatsDefaults) {
  const std::string yaml = "max_sessions: 1\nthreads: 1\ndrain_seconds: 1\nallow_anonymous: true\n";
  const Environment env = {{"HERALD_THREADS", "2"}, {"HERALD_DRAIN_SECONDS", "2"}, {"PATH", "/"}};
  const auto config = LoadYaml(yaml, {"--drain_seconds=3"}, env);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->limits.max_sessions, 1u);
  EXPECT_EQ(config->threads, 2u);
  EXPECT_EQ(config->drain_seconds, 3u);
  EXPECT_EQ(config->origins.at("max_sessions"), path_ + ":1");
  EXPECT_EQ(config->origins.at("threads"), "environment");
  EXPECT_EQ(config->origins.at("drain_seconds"), "flag");
  EXPECT_EQ(config->origins.at("log_level"), "default");
}

TEST_F(ConfigTest, NegatedSwitchBeatsTheEnvironment) {
  const auto config =
      Load({"--allow_anonymous", "--noenable_raw"}, {{"HERALD_ENABLE_RAW", "true"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->enable_raw);
}

TEST_F(ConfigTest, FlagsTakeAbseilsForms) {
  const auto config = Load({"--allow_anonymous=true", "-threads", "3", "--max_message_bytes",
                            "1KiB", "--ping_interval=1m30s", "--threads=4"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->threads, 4u);
  EXPECT_EQ(config->limits.max_message_bytes, 1024u);
  EXPECT_EQ(config->limits.ping_interval, absl::Seconds(90));
}

TEST_F(ConfigTest, LoadsAgainWithoutMemoryOfTheLastTime) {
  ASSERT_TRUE(Load({"--allow_anonymous", "--threads=4"}).ok());
  EXPECT_EQ(Load({"--allow_anonymous"})->threads, 0u);
}

TEST_F(ConfigTest, UnknownNamesAreRefusedWithTheClosest) {
  EXPECT_EQ(Message(Load({"--client-adr=:1"})),
            "unknown flag --client-adr; did you mean --client_addr?");
  EXPECT_EQ(Message(Load({"--zzzzzzzz"})), "unknown flag --zzzzzzzz; see --help");
  EXPECT_EQ(Message(Load({"--flagfile=/x"})), "unknown flag --flagfile; see --help");
  EXPECT_EQ(Message(Load({}, {{"HERALD_CLIENT_ADDRESS", ":1"}})),
            "unknown environment variable HERALD_CLIENT_ADDRESS; did you mean HERALD_CLIENT_ADDR?");
  EXPECT_EQ(Message(LoadYaml("threads: 1\n\nmax_sesions: 3\n")),
            path_ + ":3: unknown key max_sesions; did you mean max_sessions?");
  EXPECT_EQ(Message(LoadYaml("topic_rule: []\n")),
            path_ + ":1: unknown key topic_rule; did you mean topic_rules?");
  EXPECT_THAT(Message(Load({"serve"})), HasSubstr("\"serve\" is not a flag"));
}

TEST_F(ConfigTest, ServiceLinksOfKubernetesAreNotSettings) {
  const auto config = Load({"--allow_anonymous"}, {{"HERALD_SERVICE_HOST", "10.0.0.1"},
                                                   {"HERALD_SERVICE_PORT", "80"},
                                                   {"HERALD_SERVICE_PORT_GRPC", "50051"},
                                                   {"HERALD_PORT", "tcp://10.0.0.1:80"},
                                                   {"HERALD_PORT_80_TCP", "tcp://10.0.0.1:80"},
                                                   {"HERALD_PORT_80_TCP_ADDR", "10.0.0.1"},
                                                   {"HERALD_PORT_80_TCP_PORT", "80"},
                                                   {"HERALD_GRPC_SERVICE_HOST", "10.0.0.2"}});
  EXPECT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(Message(Load({}, {{"HERALD_PORT", "8080"}})), HasSubstr("HERALD_PORT"));
}

TEST_F(ConfigTest, VariablesOfHeraldctlAreNotSettings) {
  EXPECT_TRUE(Load({"--allow_anonymous"}, {{"HERALD_ADDR", "127.0.0.1:50051"},
                                           {"HERALD_TOKEN", "x"},
                                           {"HERALD_URL", "ws://127.0.0.1:8080/ws"},
                                           {"HERALD_CLIENT_TOKEN", "x"}})
                  .ok());
  EXPECT_THAT(Message(Load({}, {{"HERALD_TOKENS", "x"}})), HasSubstr("HERALD_TOKENS"));
}

TEST_F(ConfigTest, BadValuesNameSourceAndKey) {
  EXPECT_THAT(Message(Load({"--max_message_bytes=64Q"})),
              StartsWith("--max_message_bytes: \"64Q\" is not a size in bytes"));
  EXPECT_EQ(Message(Load({"--dev=maybe"})), "--dev: \"maybe\" is not true or false");
  EXPECT_EQ(Message(Load({"--threads"})), "--threads: the value is missing");
  EXPECT_THAT(Message(Load({}, {{"HERALD_PING_INTERVAL", "25"}})),
              StartsWith("HERALD_PING_INTERVAL: \"25\" is not a duration"));
  EXPECT_THAT(Message(LoadYaml("threads: 1\nlog_format: xml\n")),
              StartsWith(path_ + ":2: log_format: \"xml\" is not one of json|text"));
  // Also where a stronger source would replace them.
  EXPECT_THAT(Message(LoadYaml("threads: many\n", {"--threads=2"})),
              StartsWith(path_ + ":1: threads: \"many\" is not a whole number"));
}

TEST_F(ConfigTest, NumbersKeepTheirRange) {
  for (const char* bad : {"--threads=-1",
                          "--threads=1025",
                          "--threads=1.5",
                          "--threads=99999999999999999999",
                          "--threads=",
                          "--max_message_bytes=0",
                          "--max_message_bytes=2GiB",
                          "--max_memory_bytes=99999999999GiB",
                          "--max_memory_bytes=KiB",
                          "--max_memory_bytes=-1",
                          "--pong_timeout=0s",
                          "--pong_timeout=-1s",
                          "--pong_timeout=inf",
                          "--client_addr=8080",
                          "--node_name=a.b",
                          "--node_name=a_b",
                          "--allowed_origins=example.com",
                          "--allowed_origins=https://example.com/",
                          "--jwt_algorithm=none",
                          "--jwt_secret_file=a\nb"}) {
    EXPECT_FALSE(Load({"--allow_anonymous", bad}).ok()) << bad;
  }
}

TEST_F(ConfigTest, MalformedFilesAreRefusedWithTheirLine) {
  EXPECT_THAT(Message(LoadYaml("threads: 1\n  bad: [\n")), StartsWith(path_ + ":"));
  EXPECT_THAT(Message(LoadYaml("- a\n")), HasSubstr(":1: not a map"));
  EXPECT_THAT(Message(LoadYaml("threads: 1\nthreads: 2\n")),
              HasSubstr(":2: threads is there twice"));
  EXPECT_THAT(Message(LoadYaml("threads:\n")), HasSubstr(":1: threads: the value is missing"));
  EXPECT_THAT(Message(LoadYaml("threads: [1]\n")), HasSubstr(":1: threads: not one value"));
  EXPECT_THAT(Message(LoadYaml("threads: {a: 1}\n")), HasSubstr(":1: threads: not one value"));
  EXPECT_THAT(Message(LoadYaml("threads: 1\n---\nthreads: 2\n")),
              HasSubstr("second YAML document"));
  EXPECT_THAT(Message(LoadYaml(std::string(kMiB + 1, '#'))), HasSubstr("larger than 1 MiB"));
  EXPECT_THAT(Message(Load({"--config=/no/such.yaml"})), HasSubstr("/no/such.yaml: cannot read"));
  EXPECT_THAT(Message(Load({"--config=/"})), HasSubstr("cannot read"));
  EXPECT_TRUE(LoadYaml("").ok());
  EXPECT_TRUE(LoadYaml("# nothing\n").ok());
}

TEST_F(ConfigTest, ConfigPathMayComeFromTheEnvironment) {
  std::ofstream(path_) << "threads: 7\nallow_anonymous: true\n";
  EXPECT_EQ(Load({}, {{"HERALD_CONFIG", path_}})->threads, 7u);
}

TEST_F(ConfigTest, B7OriginsAreKeptInTheFormThatBrowsersSend) {
  const auto config =
      Load({"--allow_anonymous",
            "--allowed_origins=https://example.com:443, HTTP://B.example:80, null"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->allowed_origins,
              ElementsAre("https://example.com", "http://b.example", "null"));
  for (const auto& [bad, why] :
       std::vector<std::pair<std::string, std::string>>{{"\"https://example.com\"", "quotes"},
                                                        {"https://b\xc3\xbc"
                                                         "cher.example",
                                                         "Punycode"},
                                                        {"https://*.example.com", "wildcard"},
                                                        {"https://example.com/", "slash"}}) {
    const auto refused = Load({"--allow_anonymous", ("--allowed_origins=" + bad).c_str()});
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr(why));
  }
}

TEST_F(ConfigTest, G16HostsAreAnyButLoopbackWithDev) {
  EXPECT_THAT(Load({"--allow_anonymous"})->allowed_hosts, IsEmpty());
  EXPECT_THAT(Load({"--dev"})->allowed_hosts, ElementsAre("loopback"));
  EXPECT_THAT(Load({"--dev", "--allowed_hosts="})->allowed_hosts, IsEmpty());
  EXPECT_THAT(Load({"--dev", "--allowed_hosts=Push.Example.com, loopback, [::1]"})->allowed_hosts,
              ElementsAre("push.example.com", "loopback", "[::1]"));
  EXPECT_THAT(
      LoadYaml("dev: true\nallowed_hosts: [loopback, \"push.example.com\"]\n")->allowed_hosts,
      ElementsAre("loopback", "push.example.com"));
  EXPECT_FALSE(Load({"--dev", "--allowed_hosts=example.com:8080"}).ok());
  EXPECT_FALSE(Load({"--dev", "--allowed_hosts=*"}).ok());
}

TEST_F(ConfigTest, OriginsComeAsListsEverywhere) {
  const auto yaml = LoadYaml("allowed_origins: [\"https://a.example\", 'http://b.example:8080']\n");
  ASSERT_TRUE(yaml.ok()) << yaml.status();
  EXPECT_THAT(yaml->allowed_origins, ElementsAre("https://a.example", "http://b.example:8080"));
  const auto flag = Load({"--allow_anonymous", "--allowed_origins=https://a.example, *"});
  EXPECT_THAT(flag->allowed_origins, ElementsAre("https://a.example", "*"));
}

TEST_F(ConfigTest, TopicRulesComeFromTheFile) {
  const auto config = LoadYaml(R"(
topic_rules:
  - {pattern: "chat/*", history_size: 50, history_ttl: 5m, client_subscribe: anyone,
     client_publish: granted, presence: true, join_leave: true, overflow: drop_oldest,
     max_subscribers: 20}
  - pattern: "**"
    history_size: 7
)");
  ASSERT_TRUE(config.ok()) << config.status();
  const TopicRule& chat = config->topic_rules.Find("chat/1");
  EXPECT_EQ(chat.history_size, 50u);
  EXPECT_EQ(chat.history_ttl, absl::Minutes(5));
  EXPECT_EQ(chat.client_subscribe, TopicRule::Access::kAnyone);
  EXPECT_EQ(chat.client_publish, TopicRule::Access::kGranted);
  EXPECT_TRUE(chat.presence);
  EXPECT_TRUE(chat.join_leave);
  EXPECT_EQ(chat.overflow, Overflow::kDropOldest);
  EXPECT_EQ(chat.max_subscribers, 20u);
  EXPECT_EQ(config->topic_rules.Find("news").history_size, 7u);
  EXPECT_EQ(config->topic_rules.Find("$all").history_size, 100u);
  EXPECT_EQ(config->origins.at("topic_rules"), path_ + ":2");
}

TEST_F(ConfigTest, BadTopicRulesAreRefusedWithTheirLine) {
  EXPECT_THAT(Message(LoadYaml("topic_rules: yes\n")), HasSubstr(":1: topic_rules: not a list"));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - chat\n")),
              HasSubstr(":2: topic_rules: a rule is not"));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - presence: true\n")), HasSubstr("no pattern"));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - pattern: a\n    histroy_size: 1\n")),
              HasSubstr(":3: topic_rules: unknown key histroy_size; there are pattern, "));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - pattern: a\n    history_size: x\n")),
              HasSubstr(":3: topic_rules: history_size: \"x\" is not a whole number"));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - pattern: a-*\n")),
              HasSubstr(":2: topic_rules: pattern: in a topic pattern"));
  EXPECT_THAT(Message(LoadYaml("topic_rules:\n  - {pattern: a, pattern: b}\n")),
              HasSubstr("twice"));
  std::string many = "topic_rules:\n";
  for (int i = 0; i < 257; ++i) many += "  - pattern: a\n";
  EXPECT_THAT(Message(LoadYaml(many)), HasSubstr("257 rules, more than 256"));
}

TEST_F(ConfigTest, DevOpensEverythingOnLoopback) {
  const auto config = Load({"--dev"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(IsLoopback(config->client_addr));
  EXPECT_TRUE(IsLoopback(config->grpc_addr));
  EXPECT_TRUE(IsLoopback(config->admin_addr));
  EXPECT_TRUE(config->allow_anonymous);
  EXPECT_TRUE(config->enable_raw);
  EXPECT_TRUE(config->enable_demo);
  EXPECT_TRUE(config->enable_reflection);
  EXPECT_EQ(config->log_format, LogFormat::kText);
  EXPECT_EQ(config->topic_rules.Find("a").client_publish, TopicRule::Access::kAnyone);
  EXPECT_EQ(config->origins.at("client_addr"), "default (--dev)");
}

TEST_F(ConfigTest, DevLeavesWhatIsSetAsSet) {
  const auto config = LoadYaml("topic_rules: [{pattern: b}]\nlog_format: json\n",
                               {"--dev", "--noenable_raw", "--client_addr=0.0.0.0:1"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(ToString(config->client_addr), "0.0.0.0:1");
  EXPECT_FALSE(config->enable_raw);
  EXPECT_EQ(config->log_format, LogFormat::kJson);
  EXPECT_EQ(config->topic_rules.Find("a").client_publish, TopicRule::Access::kNone);
}

TEST_F(ConfigTest, DevDoesNotOpenGrpcBeyondLoopback) {
  EXPECT_THAT(Message(Load({"--dev", "--grpc_addr=:50051"})), HasSubstr("beyond loopback"));
}

TEST_F(ConfigTest, GrpcBeyondLoopbackNeedsAGuard) {
  EXPECT_THAT(Message(Load({"--allow_anonymous", "--grpc_addr=[::]:50051"})),
              AllOf(HasSubstr("[::]:50051"), HasSubstr("grpc_tls_client_ca_file"),
                    HasSubstr("producers_file"), HasSubstr("--insecure_grpc")));
  // TLS alone does not say who calls.
  EXPECT_FALSE(Load({"--allow_anonymous", "--grpc_addr=:1", "--grpc_tls_cert_file=c",
                     "--grpc_tls_key_file=k"})
                   .ok());
  EXPECT_TRUE(Load({"--allow_anonymous", "--grpc_addr=:1", "--insecure_grpc"}).ok());
  EXPECT_TRUE(Load({"--allow_anonymous", "--grpc_addr=:1", "--producers_file=t"}).ok());
  EXPECT_TRUE(Load({"--allow_anonymous", "--grpc_addr=:1", "--grpc_tls_client_ca_file=a",
                    "--grpc_tls_cert_file=c", "--grpc_tls_key_file=k"})
                  .ok());
}

TEST_F(ConfigTest, ClientPortNeedsKeysOrPermission) {
  EXPECT_THAT(Message(Load({})), AllOf(HasSubstr("jwt_secret_file"), HasSubstr("--allow_anonymous"),
                                       HasSubstr("--dev")));
  EXPECT_FALSE(Load({"--dev", "--noallow_anonymous"}).ok());
  const auto secret = Load({"--jwt_secret_file=s"});
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ(secret->pinned_jwt_algorithm(), JwtAlgorithm::kHs256);
  EXPECT_TRUE(Load({"--jwks_file=j"}).ok());
  EXPECT_TRUE(Load({"--jwt_public_key_file=p", "--jwt_algorithm=EdDSA"}).ok());
}

TEST_F(ConfigTest, SettingsMustMakeSenseTogether) {
  const std::vector<const char*> refused[] = {
      {"--jwt_public_key_file=p"},
      {"--jwt_public_key_file=p", "--jwt_algorithm=HS256"},
      {"--jwt_secret_file=s", "--jwt_algorithm=RS256"},
      {"--jwt_secret_file=s", "--jwks_file=j"},
      {"--allow_anonymous", "--jwt_audience=a"},
      {"--allow_anonymous", "--client_tls_cert_file=c"},
      {"--allow_anonymous", "--client_tls_key_file=k"},
      {"--allow_anonymous", "--grpc_tls_cert_file=c"},
      {"--allow_anonymous", "--grpc_tls_key_file=k"},
      {"--allow_anonymous", "--grpc_tls_client_ca_file=a"},
      {"--allow_anonymous", "--nats_url=nats://h"},
      {"--allow_anonymous", "--admin_addr=127.0.0.1:50051"},
      {"--jwt_secret_file=s", "--token_cookie=a b"},
      {"--jwt_secret_file=s", "--token_cookie=t", "--allowed_origins=*"},
      {"--jwt_secret_file=s", "--token_cookie=t", "--allowed_origins=null"},
      {"--allow_anonymous", "--max_message_bytes=2MiB"},
      {"--allow_anonymous", "--max_outbound_bytes_total=1KiB"},
      {"--allow_anonymous", "--mailbox_high_watermark_bytes=1KiB"},
  };
  for (const auto& arguments : refused) {
    const auto config = Load(arguments);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << arguments.back();
    EXPECT_EQ(Message(config).find('\n'), std::string::npos);
  }
}

TEST_F(ConfigTest, NatsNeedsToKnowWhereAndHowAndKeepsWhatTheRulesPromise) {
  const std::vector<const char*> nats = {"--allow_anonymous", "--broker=nats",
                                         "--nats_url=nats://h:4222"};
  EXPECT_TRUE(Load(nats).ok());
  EXPECT_THAT(Message(Load({"--allow_anonymous", "--broker=nats"})), HasSubstr("needs nats_url"));
  for (const char* refused :
       {"--nats_prefix=a.b", "--nats_prefix=", "--nats_user=u", "--nats_password_file=p",
        "--nats_tls_cert_file=c", "--nats_tls_key_file=k", "--nats_max_age=1s"}) {
    auto arguments = nats;
    arguments.push_back(refused);
    EXPECT_EQ(Load(arguments).status().code(), absl::StatusCode::kInvalidArgument) << refused;
  }
}

TEST_F(ConfigTest, NodeNameIsLoweredAndDefaultsToTheHost) {
  EXPECT_EQ(Load({"--allow_anonymous", "--node_name=Herald-0"})->node_name, "herald-0");
  EXPECT_TRUE(FindSetting("node_name") != nullptr);
  Config copy;
  EXPECT_TRUE(FindSetting("node_name")->parse(Load({"--dev"})->node_name, copy).ok());
}

TEST_F(ConfigTest, PrintedConfigTellsOriginsAndIsReadBackTheSame) {
  const auto config = LoadYaml(
      "topic_rules: [{pattern: 'a b/*', overflow: drop_newest}]\nlog_level: warn\n",
      {"--print_config", "--client_addr=[::1]:8080", "--token_cookie=null",
       "--jwt_issuer=it's \"#1\": ü", "--allowed_origins=https://a.example,https://b.example"},
      {{"HERALD_PING_INTERVAL", "1m30s"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->action, Config::Action::kPrintConfig);
  const std::string printed = PrintConfig(*config);
  EXPECT_THAT(printed, ::testing::ContainsRegex("client_addr: \"\\[::1\\]:8080\" +# from flag\n"));
  EXPECT_THAT(printed, ::testing::ContainsRegex("ping_interval: 1m30s +# from environment\n"));
  EXPECT_THAT(printed, ::testing::ContainsRegex("log_level: warn +# from .*yaml:2\n"));
  EXPECT_THAT(printed, ::testing::ContainsRegex("threads: 0 +# from default\n"));

  const auto again = LoadYaml(printed, {"--print_config"});
  ASSERT_TRUE(again.ok()) << again.status();
  for (const Setting& setting : Settings()) {
    EXPECT_EQ(setting.print(*again), setting.print(*config)) << setting.name;
    EXPECT_THAT(again->origins.at(std::string(setting.name)), StartsWith(path_)) << setting.name;
  }
  ASSERT_EQ(again->topic_rules.all().size(), config->topic_rules.all().size());
  for (std::size_t i = 0; i < config->topic_rules.all().size(); ++i) {
    EXPECT_EQ(again->topic_rules.all()[i], config->topic_rules.all()[i]);
  }
}

TEST_F(ConfigTest, PrintedConfigHidesThePasswordInAUrl) {
  const auto config =
      Load({"--print_config", "--nats_url=nats://user:pa55word@a:4222,nats://s3cr3t@b:4222"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->nats_url, "nats://user:pa55word@a:4222,nats://s3cr3t@b:4222");
  EXPECT_THAT(PrintConfig(*config), AllOf(Not(HasSubstr("pa55word")), Not(HasSubstr("s3cr3t")),
                                          HasSubstr("nats://...@a:4222,nats://...@b:4222")));
}

TEST_F(ConfigTest, HelpNamesEverySettingAndNeedsNothingElse) {
  const auto config = Load({"--help"}, {{"HERALD_NONSENSE", "1"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->action, Config::Action::kHelp);
  const std::string help = HelpText();
  for (const Setting& setting : Settings()) {
    EXPECT_THAT(help, HasSubstr(fmt::format("--{}=", setting.name)));
    EXPECT_FALSE(setting.help.empty());
  }
  EXPECT_THAT(help, HasSubstr("--max_message_bytes=BYTES  (default 64KiB)"));
  EXPECT_EQ(Load({"--version"})->action, Config::Action::kVersion);
}

// A row is `| \`name\` | \`default\` | …`; a setting that is empty by default has words there.
TEST_F(ConfigTest, DocumentationListsEverySettingWithItsDefault) {
  std::ifstream file(HERALD_SOURCE_DIR "/docs/configuration.md");
  const std::string doc((std::istreambuf_iterator<char>(file)), {});
  const Config defaults;
  for (const Setting& setting : Settings()) {
    const std::string value = setting.print(defaults);
    const std::string row = value.empty() ? fmt::format("\n| `{}` | ", setting.name)
                                          : fmt::format("\n| `{}` | `{}` | ", setting.name, value);
    EXPECT_THAT(doc, HasSubstr(row));
  }
}

}  // namespace
}  // namespace herald
