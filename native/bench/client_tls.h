#pragma once
#include <openssl/ssl.h>

#include <netinet/in.h>

#include <memory>
#include <string>

namespace qkme::bench {

/// Where to connect and with which certificate. Only loopback addresses are of use here.
struct Target {
  sockaddr_in address{};
  std::shared_ptr<SSL_CTX> tls;
};

/// @throws std::runtime_error naming the file and what OpenSSL says.
Target MakeTarget(const std::string& host, uint16_t port, const std::string& certificate, const std::string& key,
                  const std::string& ca);

}  // namespace qkme::bench
