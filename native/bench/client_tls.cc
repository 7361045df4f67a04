#include "bench/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>

#include <stdexcept>

namespace qkme::bench {
namespace {

[[noreturn]] void Fail(const std::string& what) {
  char text[256] = "no further detail";
  if (const unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof text);
  throw std::runtime_error(what + ": " + text);
}

}  // namespace

Target MakeTarget(const std::string& host, uint16_t port, const std::string& certificate, const std::string& key,
                  const std::string& ca) {
  Target target;
  target.address.sin_family = AF_INET;
  target.address.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &target.address.sin_addr) != 1) throw std::runtime_error("not an IPv4 address: " + host);
  target.tls = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX* tls = target.tls.get();
  if (tls == nullptr) Fail("TLS context");
  SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
  if (SSL_CTX_use_certificate_chain_file(tls, certificate.c_str()) != 1) Fail(certificate);
  if (SSL_CTX_use_PrivateKey_file(tls, key.c_str(), SSL_FILETYPE_PEM) != 1) Fail(key);
  if (SSL_CTX_load_verify_locations(tls, ca.c_str(), nullptr) != 1) Fail(ca);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, nullptr);
  // Every new connection pays for a whole handshake.
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return target;
}

}  // namespace qkme::bench
