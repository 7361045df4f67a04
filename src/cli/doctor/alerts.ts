/** What a TLS or socket error means and what to do: words for people. */
interface Words { readonly message: string, readonly advice: string }

/** Alerts that the KME sends about our certificate (RFC 8446, clause 6.2), as OpenSSL names them. */
const alerts: readonly (readonly [RegExp, Words])[] = [
  [/CERTIFICATE_REQUIRED/, { message: 'the KME wants a client certificate and got none', advice: 'give --cert and --key of this SAE' }],
  [/ALERT_UNKNOWN_CA/, { message: 'the KME does not know the CA of this SAE\'s certificate', advice: 'use a certificate of the SAE CA that the KME has in rest.tls.ca' }],
  [/CERTIFICATE_EXPIRED/, { message: 'the KME says that this SAE\'s certificate is expired or not yet valid', advice: 'renew the certificate; if its dates look right, compare the clocks of both machines' }],
  [/CERTIFICATE_REVOKED/, { message: 'the KME says that this SAE\'s certificate is revoked', advice: 'have a new certificate issued' }],
  [/BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED/, { message: 'the KME does not accept this SAE\'s certificate', advice: 'check its CA, dates and the extended key usage clientAuth: qkme pki inspect <file>' }],
  [/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/, { message: 'KME and SAE have no TLS version in common', advice: 'use TLS 1.3, or set rest.tls.allowTls12 at the KME' }],
  [/HANDSHAKE_FAILURE|NO_SHARED|NO_CIPHERS/, { message: 'KME and SAE agree on no cipher suite or signature', advice: 'check the key types of both certificates' }],
  [/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/, { message: 'what answers there does not speak TLS', advice: 'check host and port: the URL must lead to the KME\'s REST port' }],
  [/ERR_SSL_/, { message: 'the TLS handshake failed', advice: 'read the alert below; the log of the KME says more (component security)' }],
]

const network: Readonly<Record<string, Words>> = {
  ENOTFOUND: { message: 'the host name is not known', advice: 'check the name in --url, and the DNS of this machine' },
  EAI_AGAIN: { message: 'the DNS of this machine does not answer', advice: 'check its network, or use an IP address in --url' },
  ECONNREFUSED: { message: 'nobody listens on this port', advice: 'check the port, and that the KME runs: qkme status' },
  EHOSTUNREACH: { message: 'there is no route to the host', advice: 'check network and firewall' },
  ENETUNREACH: { message: 'there is no route to the network', advice: 'check network and firewall' },
  ETIMEDOUT: { message: 'no answer in time', advice: 'a firewall may drop the packets; check that the port is open' },
  ECONNRESET: { message: 'the KME closed the connection without a word', advice: 'it may not accept the certificate, or be at its limit of connections: read its log (component security)' },
}

/** @returns words for an error of a socket or of TLS; the bare text is always kept. */
export const wordsFor = (error: Error): Words => {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const text = `${code} ${error.message}`.toUpperCase()
  const known = alerts.find(([pattern]) => pattern.test(text))?.[1] ?? network[code]
  const detail = code === '' || error.message.includes(code) ? error.message : `${code}: ${error.message}`
  return known === undefined ? { message: error.message, advice: 'read the log of the KME' } : { ...known, message: `${known.message} (${detail.trim().split('\n')[0]})` }
}

/** What is wrong with the KME's certificate, by Node's verification codes. */
export const wordsForServer = (code: string, caFile: string, host: string): Words => {
  switch (code) {
    case 'CERT_HAS_EXPIRED': return { message: 'the KME\'s certificate is expired', advice: 'renew it at the KME; if its dates look right, this machine\'s clock is wrong' }
    case 'CERT_NOT_YET_VALID': return { message: 'the KME\'s certificate is not yet valid', advice: 'compare this machine\'s clock with the KME\'s' }
    case 'ERR_TLS_CERT_ALTNAME_INVALID': return { message: `the KME's certificate does not name "${host}"`, advice: 'use a host name that is in the certificate, or have it issued with this one (pki issue --host)' }
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT': return { message: `the KME's certificate is not from the CA in ${caFile}`, advice: 'give the CA of KME certificates with --ca (not that of SAEs)' }
    case 'CERT_SIGNATURE_FAILURE': return { message: `the KME's certificate claims the CA in ${caFile} but is not signed by it`, advice: 'give the right CA file; if it is right, somebody else answers there' }
    case 'INVALID_PURPOSE': return { message: 'the KME\'s certificate is not for a server (extended key usage)', advice: 'have it issued with the profile kme-server' }
    default: return { message: `the KME's certificate is not accepted (${code})`, advice: 'look at it with: openssl s_client -connect host:port' }
  }
}
