#include "ws/pages.h"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/verb.hpp>

#include "ws/assets.h"

namespace herald {

namespace http = boost::beast::http;

std::optional<HttpAnswer> AnswerPage(const HttpRequest& request, bool enable_demo,
                                     Refusal& refusal) {
  constexpr std::string_view kAllow = "GET, HEAD, OPTIONS";
  const std::string_view path = PathOf(request);
  if (path == "*") return AnswerOptions(kAllow);
  const bool sdk = path == kSdkPath;
  const Asset* asset = sdk || enable_demo ? FindAsset(path) : nullptr;
  if (asset == nullptr) {
    refusal = {RefusalReason::kNotFound, "there is nothing here; clients connect to /ws", {}};
    return std::nullopt;
  }
  if (request.method() == http::verb::options) return AnswerOptions(kAllow);
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    refusal = {RefusalReason::kMethod, "use GET", {}, kAllow};
    return std::nullopt;
  }
  HttpAnswer answer;
  answer.fields.emplace_back("ETag", asset->etag);
  if (sdk) {
    // Pages of other origins import it too; whether they may connect is decided at /ws.
    answer.fields.emplace_back("Cache-Control", "public, max-age=300, must-revalidate");
    answer.fields.emplace_back("Access-Control-Allow-Origin", "*");
    answer.fields.emplace_back("Cross-Origin-Resource-Policy", "cross-origin");
  } else {
    answer.fields.emplace_back("Cache-Control", "no-cache");
    answer.fields.emplace_back("Content-Security-Policy", "default-src 'self'");
  }
  answer.fields.emplace_back("X-Content-Type-Options", "nosniff");
  if (MatchesEtag(FieldOf(request, http::field::if_none_match), asset->etag)) {
    answer.status = 304;
    return answer;
  }
  answer.fields.emplace_back("Content-Type", asset->content_type);
  answer.body = std::string(asset->body);
  return answer;
}

}  // namespace herald
