#pragma once

namespace herald::cli {

// All of heraldctl but `main`: parses, runs the command, answers the exit code (see exit_code.h).
// Throws nothing.
int RunHeraldctl(int argc, const char* const* argv);

}  // namespace herald::cli
