# What every target of ours is compiled with.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# -g1 keeps line numbers in stack traces at half the compile and link cost of -g.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_C_FLAGS_DEV "-O1 -g1" CACHE STRING "" FORCE)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG" CACHE STRING "" FORCE)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths relative to the checkout, so that all checkouts share what one has built.
  set(ccache ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache})
  set(CMAKE_C_COMPILER_LAUNCHER ${ccache})
  # ccache can share results of files that use a precompiled header only so.
  set(CMAKE_PCH_INSTANTIATE_TEMPLATES OFF)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-fpch-preprocess)
  endif()
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
# One Beast or gRPC translation unit takes up to 2 GB: never more than two at once.
set_property(GLOBAL PROPERTY JOB_POOLS compile_pool=2 link_pool=2)
set(CMAKE_JOB_POOL_COMPILE compile_pool)
set(CMAKE_JOB_POOL_LINK link_pool)

if(HERALD_SANITIZE)
  add_compile_options(-fsanitize=${HERALD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HERALD_SANITIZE})
endif()
if(HERALD_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(HERALD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

add_library(project_options INTERFACE)
target_compile_features(project_options INTERFACE cxx_std_20)
# Members left out of an initialiser have their defaults: that is what options structs are for.
target_compile_options(project_options INTERFACE
  -Wall -Wextra -Wno-missing-field-initializers -Werror=return-type -Werror=unused-result)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(project_options INTERFACE -Wthread-safety)
endif()
target_include_directories(project_options INTERFACE ${CMAKE_SOURCE_DIR})
# No deprecated or blocking Asio paths, and no macro that changes between units.
target_compile_definitions(project_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE
  HERALD_VERSION="${PROJECT_VERSION}")
