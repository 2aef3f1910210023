#include "app/jwks_url.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "app/address.h"

namespace herald {

absl::StatusOr<JwksUrl> ParseJwksUrl(std::string_view text, bool dev) {
  const auto parsed = boost::urls::parse_uri(text);
  if (!parsed) return absl::InvalidArgumentError("not a URL such as https://id.example/jwks.json");
  const boost::urls::url_view& url = *parsed;
  JwksUrl out;
  const bool http = url.scheme() == "http";
  if (!http && url.scheme() != "https") return absl::InvalidArgumentError("only https is possible");
  out.tls = !http;
  const std::string host(url.host_address());
  out.host = host;
  if (host.empty()) return absl::InvalidArgumentError("there is no host in it");
  if (url.has_userinfo()) return absl::InvalidArgumentError("a user or password cannot be in it");
  if (url.has_fragment()) return absl::InvalidArgumentError("a fragment (#…) cannot be in it");
  if (http && !(dev && (host == "localhost" || IsLoopback(Address{host, 0})))) {
    return absl::InvalidArgumentError(
        "http would let anyone on the way replace the keys: use https (http is for --dev and "
        "loopback only)");
  }
  out.port = url.has_port() ? url.port_number() : (http ? 80 : 443);
  if (out.port == 0) return absl::InvalidArgumentError("the port is not 1 to 65535");
  out.target = std::string(url.encoded_target());
  if (out.target.empty() || out.target.front() != '/') out.target.insert(0, 1, '/');
  return out;
}

}  // namespace herald
