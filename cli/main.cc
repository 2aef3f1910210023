#include "cli/app.h"

int main(int argc, char** argv) { return herald::cli::RunHeraldctl(argc, argv); }
