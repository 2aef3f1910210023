#include "cli/commands.h"

#include <array>

#include "cli/output.h"

namespace herald::cli {
namespace {

constexpr const char* kSending = "Sending";
constexpr const char* kSessions = "Sessions and topics";
constexpr const char* kLooking = "Looking and trying out";
constexpr const char* kOperating = "Operating";

constexpr auto kCommands = std::to_array<Command>({
    {kSending, "send", "Send one message", DeclareSend, R"(Examples:
  heraldctl send --all 'Hello, everyone'
  heraldctl send --user alice --event shipped '{"order":42}'
  heraldctl send --topic news --file story.json --except bob
  heraldctl send --where 'platform=web,tier in (gold,silver)' 'Hello'
  date | heraldctl send --topics clock,time -
  heraldctl send --user alice --require-online 'Hi' || mail alice
  heraldctl send --user alice --report acked --report-timeout 3s 'Hi'
)"},
    {kSending, "stream", "Send commands from stdin, in NDJSON", DeclareStream,
     R"(Each line is one herald.v1.Command in canonical proto JSON: payloads are base64.
Each line of output is a CommandResult (it has "code") or a Receipt ("final").
Where a command has no seq, it is the number of its line.

Examples:
  echo '{"deliver":{"target":{"all":true},"message":{"payload":"aGk="}}}' |
    heraldctl stream
  heraldctl stream --rate 1000 < commands.ndjson > results.ndjson
  heraldctl stream --producer-id import-7 < commands.ndjson   # safe to repeat
)"},
    {kSessions, "sessions", "List sessions", DeclareSessions, R"(Examples:
  heraldctl sessions
  heraldctl sessions --user alice
  heraldctl sessions --topic news --where platform=web --limit 20
  heraldctl --json sessions | jq -r .session_id
)"},
    {kSessions, "session", "Show one session", DeclareSession, R"(Example:
  heraldctl session herald-0-00-5f0c6a1e9b7d4c3a8e2f1d0b9a8c7e6f
)"},
    {kSessions, "join", "Subscribe sessions to topics", DeclareJoin, R"(Examples:
  heraldctl join --user alice orders/42
  heraldctl join --where platform=web news weather
)"},
    {kSessions, "leave", "Unsubscribe sessions from topics", DeclareLeave, R"(Example:
  heraldctl leave --user alice orders/42
)"},
    {kSessions, "labels", "Set and remove labels of sessions", DeclareLabels, R"(Examples:
  heraldctl labels --user alice --set tier=gold --set beta=yes
  heraldctl labels --all --remove beta
)"},
    {kSessions, "kick", "Close sessions", DeclareKick, R"(Examples:
  heraldctl kick --user mallory --reason 'not welcome' --reconnect no
  heraldctl kick --all --except admin --code 1012 --reconnect yes --delay 5s
)"},
    {kSessions, "presence", "Show who is on a topic", DeclarePresence, R"(Examples:
  heraldctl presence news
  heraldctl presence '$all' --sessions
)"},
    {kSessions, "history", "Show what a topic's log holds", DeclareHistory, R"(Examples:
  heraldctl history orders/42 --limit 10 --reverse
  heraldctl history orders/42 --since 'POSITION'
)"},
    {kLooking, "status", "Show nodes, sessions, rates and memory", DeclareStatus, R"(Examples:
  heraldctl status
  heraldctl status --watch
)"},
    {kLooking, "health", "Ask the admin port if the server lives", DeclareHealth, R"(Examples:
  heraldctl health
  heraldctl health --ready --admin 127.0.0.1:9091
)"},
    {kLooking, "watch", "Show what clients do", DeclareWatch, R"(Examples:
  heraldctl watch
  heraldctl watch --kind client_message --topic 'chat/**'
  heraldctl --json watch --group billing
)"},
    {kLooking, "subscribe", "Be a client: a WebSocket in the terminal", DeclareSubscribe,
     R"(Examples:
  heraldctl subscribe --topic news
  heraldctl subscribe --url ws://127.0.0.1:8080/ws --token "$JWT" --json
  heraldctl subscribe --topic chat --publish chat
  heraldctl subscribe --raw --topic news
)"},
#ifdef HERALD_CLI_TOKEN
    {kLooking, "token", "Mint a client's JWT, for development", DeclareToken, R"(Examples:
  heraldctl token --secret dev.key --user alice --expires 1h
  heraldctl token --private-key ed25519.pem --user alice --topics news --label tier=gold
)"},
#endif
    {kOperating, "drain", "End the replica in good order", DeclareDrain, R"(Examples:
  heraldctl drain
  heraldctl drain --over 2m
)"},
    {kOperating, "reload", "Have the configuration read again", DeclareReload, R"(Example:
  heraldctl reload
)"},
    {kOperating, "producer", "Make a producer's token and its rights", DeclareProducer,
     R"(Prints the token once, then the entry for producers_file, which holds only its hash.

Examples:
  heraldctl producer add orders --may deliver,query --topics 'orders/**' --users '**'
  heraldctl producer add billing --may deliver --users '**' --file producers.yaml > billing.token
  heraldctl producer hash < old.token
)"},
});

}  // namespace

std::span<const Command> Commands() { return kCommands; }

ExitCode UsageError(const absl::Status& status) {
  PrintError(std::string(status.message()));
  return kUsage;
}

}  // namespace herald::cli
