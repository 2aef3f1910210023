# Bundles TypeScript into one minified ES module, with Debian's esbuild (scripts/install-deps build).
#
#   bundle_script(<output.js> ENTRY <file.ts>)
#
# It is made again when a file of the entry's folder changes. To be called where the output is used: see add_custom_command.

find_program(ESBUILD esbuild REQUIRED)

function(bundle_script output)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "ENTRY" "")
  if(NOT ARG_ENTRY OR ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "bundle_script(<output.js> ENTRY <file.ts>)")
  endif()
  cmake_path(GET ARG_ENTRY PARENT_PATH folder)
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.ts)
  cmake_path(RELATIVE_PATH ARG_ENTRY BASE_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE entry)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${ESBUILD} ${entry} --bundle --format=esm --target=es2020 --minify --log-level=warning --outfile=${output}
    DEPENDS ${sources}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    COMMENT "Bundling ${entry}"
    VERBATIM)
endfunction()
