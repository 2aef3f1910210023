# Puts gRPC, Protobuf and abseil into the programs, where the distribution has their archives (decision 0017). Without the jumps and
# the lookups of thread-local variables that calls between shared libraries need, a command costs a tenth less. All three or none: a
# process must have each of them once.
set(archives "")
get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
list(FILTER targets INCLUDE REGEX "^(gRPC|protobuf|absl)::")
list(FILTER targets EXCLUDE REGEX "protoc$|_plugin_support$")  # of code generators
foreach(target IN LISTS targets)
  foreach(property IMPORTED_LOCATION IMPORTED_LOCATION_NONE IMPORTED_LOCATION_RELEASE)
    get_target_property(library ${target} ${property})
    if(NOT library MATCHES "\\.so[.0-9]*$")
      continue()
    endif()
    string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive ${library})
    if(NOT EXISTS ${archive})
      message(FATAL_ERROR "${archive} is missing: install it, or configure with -DHERALD_STATIC_GRPC=OFF")
    endif()
    set_property(TARGET ${target} PROPERTY ${property} ${archive})
    list(APPEND archives ${archive})
  endforeach()
endforeach()
# For scripts/collect-runtime: whose licences an image with the programs has to show.
list(REMOVE_DUPLICATES archives)
list(JOIN archives "\n" archives)
file(WRITE ${CMAKE_BINARY_DIR}/archives.txt "${archives}\n")
