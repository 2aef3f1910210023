#pragma once

namespace herald::cli {

// What a script can branch on. Documented in `heraldctl --help` and docs/heraldctl.md; never
// renumbered.
enum ExitCode : int {
  kOk = 0,
  // The server answered, and said no.
  kRefused = 1,
  // The command line or its input is wrong; nothing was sent.
  kUsage = 2,
  // No answer: connection refused, TLS failure, timeout, connection lost.
  kUnreachable = 3,
  // NOT_FOUND: no such session, or nobody matched and `--require-online` was given.
  kNotFound = 4,
};

}  // namespace herald::cli
