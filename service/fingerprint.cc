#include "service/fingerprint.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <cstring>
#include <string>

namespace herald {
namespace {

Fingerprint Sha256(std::string_view text) {
  // Fetched once: asking for it by name costs as much as hashing a short command.
  static EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  // Fails only without memory.
  if (EVP_Digest(text.data(), text.size(), digest, nullptr, sha256, nullptr) != 1) std::abort();
  Fingerprint fingerprint;
  std::memcpy(fingerprint.data(), digest, sizeof(fingerprint));
  return fingerprint;
}

void AppendAction(const google::protobuf::MessageLite& action, std::string& text) {
  google::protobuf::io::StringOutputStream stream(&text);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  (void)action.SerializeToCodedStream(&coded);  // fails only over 2 GiB
}

}  // namespace

Fingerprint FingerprintOf(std::initializer_list<std::string_view> texts) {
  std::string joined;
  for (const std::string_view text : texts) {
    const std::uint64_t size = text.size();
    joined.append(reinterpret_cast<const char*>(&size), sizeof(size));
    joined.append(text);
  }
  return Sha256(joined);
}

Fingerprint FingerprintOf(const v1::Command& command) {
  std::string text(1, static_cast<char>(command.action_case()));
  switch (command.action_case()) {
    case v1::Command::kDeliver:
      AppendAction(command.deliver(), text);
      break;
    case v1::Command::kJoin:
      AppendAction(command.join(), text);
      break;
    case v1::Command::kLeave:
      AppendAction(command.leave(), text);
      break;
    case v1::Command::kDisconnect:
      AppendAction(command.disconnect(), text);
      break;
    case v1::Command::kSetLabels:
      AppendAction(command.set_labels(), text);
      break;
    case v1::Command::ACTION_NOT_SET:
      break;
  }
  return Sha256(text);
}

}  // namespace herald
