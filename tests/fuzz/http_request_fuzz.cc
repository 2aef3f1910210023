// Bytes as they come to the client port. The first says in what pieces they come; the head must be
// found in the same place as when they come at once, and what ParseHead takes must hold what it
// promises to those who read the request behind it.
#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <cstdint>
#include <string_view>

#include "tests/fuzz/check.h"
#include "ws/host.h"
#include "ws/http_answer.h"
#include "ws/http_request.h"
#include "ws/origin.h"
#include "ws/query.h"

namespace {

using boost::beast::http::field;
using herald::HeadScanner;
constexpr std::size_t kMaxBytes = 4096;

HeadScanner::State ScanInPieces(HeadScanner& scanner, std::string_view bytes, std::size_t piece) {
  for (std::size_t n = std::min(piece, bytes.size());; n = std::min(n + piece, bytes.size())) {
    const auto state = scanner.Scan(bytes.substr(0, n), kMaxBytes);
    if (state != HeadScanner::State::kMore || n == bytes.size()) return state;
  }
}

void CheckRequest(const herald::HttpRequest& request) {
  const std::string_view target(request.target().data(), request.target().size());
  FUZZ_CHECK(target == "*" || target.starts_with('/'));
  const std::string_view host = herald::FieldOf(request, field::host);
  FUZZ_CHECK(request.version() < 11 || herald::ParseHost(host).has_value());
  for (const auto& line : request) {
    FUZZ_CHECK(request.count(line.name_string()) == 1);
    for (const char c : line.value()) FUZZ_CHECK(c != '\r' && c != '\n' && c != '\0');
  }
  (void)herald::HasBody(request);
  (void)herald::ParseQuery(herald::QueryOf(request));
  (void)herald::HostAllowed({"loopback"}, host);
  (void)herald::MatchesEtag(herald::FieldOf(request, field::if_none_match), "\"x\"");
  const std::string_view origin = herald::FieldOf(request, field::origin);
  (void)herald::OriginAllowed({}, origin, host);
  if (const auto normal = herald::NormalOrigin(origin))
    FUZZ_CHECK(herald::NormalOrigin(*normal) == normal);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  HeadScanner at_once, in_pieces;
  const auto state = at_once.Scan(bytes, kMaxBytes);
  FUZZ_CHECK(ScanInPieces(in_pieces, bytes, 1 + data[0]) == state);
  if (state != HeadScanner::State::kComplete) return 0;
  FUZZ_CHECK(in_pieces.begin() == at_once.begin() && in_pieces.end() == at_once.end());
  herald::Refusal refusal;
  const auto request =
      herald::ParseHead(bytes.substr(at_once.begin(), at_once.end() - at_once.begin()), refusal);
  FUZZ_CHECK(request.has_value() || !refusal.text.empty());
  if (request) CheckRequest(*request);
  return 0;
}
