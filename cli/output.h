#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/map.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "herald/v1/common.pb.h"

namespace herald::cli {

// One line of canonical proto JSON: field names as in the .proto, numbers and flags also when zero
// (so that `jq .matched` finds them), 64-bit integers as strings, bytes as base64. Without the
// newline.
std::string ToJson(const google::protobuf::Message& message);
// That, with a newline, on stdout; flushed.
void PrintJson(const google::protobuf::Message& message);
// On stdout; flushed.
void Print(std::string_view text);
// "heraldctl: …" on stderr, one line.
void PrintError(std::string_view text);

// Columns of the terminal on stdout; 0 if it is none.
std::size_t TerminalWidth();

// "HH:MM:SS.mmm" in local time, with the date before it if that is not today's.
std::string LocalTime(const google::protobuf::Timestamp& time);
absl::Time FromProto(const google::protobuf::Timestamp& time);
absl::Duration FromProto(const google::protobuf::Duration& duration);
google::protobuf::Duration ToProto(absl::Duration duration);

// A payload on one line: text as it is, other bytes as "<12 bytes of image/png>".
std::string PayloadText(const v1::Message& message);
std::string PayloadText(std::string_view payload, std::string_view content_type);
// "a=1,b=2", in order of the keys.
std::string LabelText(const google::protobuf::Map<std::string, std::string>& labels);
// "expired 2, slow_consumer 1", in order of the reasons.
std::string DroppedText(const google::protobuf::Map<std::string, std::uint64_t>& dropped);

}  // namespace herald::cli
