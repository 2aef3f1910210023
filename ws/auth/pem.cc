#include "ws/auth/pem.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace herald {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";

using Reader = EVP_PKEY* (*)(BIO*, EVP_PKEY**, pem_password_cb*, void*);

// OpenSSL's default would ask on the terminal.
int NoPassPhrase(char*, int, int, void*) { return -1; }

// The text of each block, from its BEGIN line to the next.
std::vector<std::string_view> SplitBlocks(std::string_view text) {
  std::vector<std::string_view> blocks;
  std::size_t from = text.find(kBegin);
  while (from != std::string_view::npos) {
    const std::size_t next = text.find(kBegin, from + kBegin.size());
    blocks.push_back(text.substr(from, next == std::string_view::npos ? next : next - from));
    from = next;
  }
  return blocks;
}

// What stands after BEGIN, such as "PUBLIC KEY".
std::string_view BlockLabel(std::string_view block) {
  block.remove_prefix(kBegin.size());
  return block.substr(0, std::min(block.find("-----"), block.find('\n')));
}

std::shared_ptr<EVP_PKEY> ReadBlock(std::string_view block, Reader read) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(block.data(), static_cast<int>(block.size())), &BIO_free);
  EVP_PKEY* key = bio == nullptr ? nullptr : read(bio.get(), nullptr, &NoPassPhrase, nullptr);
  ERR_clear_error();
  return {key, &EVP_PKEY_free};
}

absl::StatusOr<Key> ParseBlock(std::string_view block, Reader read, std::size_t number) {
  std::shared_ptr<EVP_PKEY> evp = ReadBlock(block, read);
  if (evp == nullptr) {
    return absl::InvalidArgumentError(fmt::format("PEM block {} cannot be read", number));
  }
  absl::StatusOr<Key> key = MakeAsymmetricKey(std::move(evp));
  if (!key.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("PEM block {}: {}", number, std::string(key.status().message())));
  }
  return key;
}

}  // namespace

absl::StatusOr<std::vector<Key>> ParsePublicKeysPem(std::string_view text) {
  std::vector<Key> keys;
  for (const std::string_view block : SplitBlocks(text)) {
    const std::size_t number = keys.size() + 1;
    if (BlockLabel(block) != "PUBLIC KEY") {
      return absl::InvalidArgumentError(fmt::format(
          "PEM block {} is a '{}', expected a 'PUBLIC KEY'", number, BlockLabel(block)));
    }
    absl::StatusOr<Key> key = ParseBlock(block, &PEM_read_bio_PUBKEY, number);
    if (!key.ok()) return key.status();
    keys.push_back(*std::move(key));
  }
  if (keys.empty()) return absl::InvalidArgumentError("there is no PEM block in it");
  return keys;
}

absl::StatusOr<Key> ParsePrivateKeyPem(std::string_view text) {
  // `openssl ecparam -genkey` writes a block of parameters before the key.
  std::vector<std::string_view> blocks = SplitBlocks(text);
  std::erase_if(blocks,
                [](std::string_view block) { return BlockLabel(block) == "EC PARAMETERS"; });
  if (blocks.size() != 1) {
    return absl::InvalidArgumentError(
        fmt::format("there are {} PEM blocks in it, expected one private key", blocks.size()));
  }
  const std::string_view label = BlockLabel(blocks[0]);
  if (!label.ends_with("PRIVATE KEY")) {
    return absl::InvalidArgumentError(
        fmt::format("the PEM block is a '{}', expected a 'PRIVATE KEY'", label));
  }
  if (label == "ENCRYPTED PRIVATE KEY" ||
      blocks[0].find("Proc-Type: 4,ENCRYPTED") != std::string_view::npos) {
    return absl::InvalidArgumentError("the private key is encrypted; decrypt it first");
  }
  return ParseBlock(blocks[0], &PEM_read_bio_PrivateKey, 1);
}

}  // namespace herald
