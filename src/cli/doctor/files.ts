import { createPrivateKey } from 'node:crypto'
import { identityOf, extendedUsages } from '../../crypto/identity.js'
import { readBytes, readCertificates, type Certificate } from '../../crypto/pem.js'
import { oid } from '../../crypto/x509.js'
import { KmeError } from '../../kernel/errors.js'
import { failed, ok, warning, type SaeAccess, type Step } from './report.js'

/** The rule of a KME that was not configured otherwise; only for words, the KME decides. */
const usualRule = { uriPrefix: 'urn:qkme:sae:', dns: false, cn: true }
const dayMs = 86_400_000

/** Looks at certificate, key and CA file before anything is sent. @returns the steps and the SAE ID, if one was found. */
export const checkFiles = (access: SaeAccess, nowMs: number): { readonly steps: Step[], readonly saeId: string | undefined } => {
  let certificate: Certificate
  try {
    certificate = readCertificates(access.certificateFile)[0] as Certificate
    readCertificates(access.caFile)
    const key = readBytes(access.keyFile, 'private key')
    const matches = certificate.node.checkPrivateKey(createPrivateKey(key))
    key.fill(0)
    if (!matches) return { steps: [failed('files', `the key in ${access.keyFile} does not belong to the certificate in ${access.certificateFile}`, 'give the pair that was made together')], saeId: undefined }
  } catch (error) {
    const message = error instanceof KmeError ? error.message : `${access.keyFile} is not an unencrypted PEM private key`
    return { steps: [failed('files', message, 'check the paths in --cert, --key and --ca')], saeId: undefined }
  }
  const identity = identityOf(certificate.parsed, usualRule)
  const saeId = identity.ok ? identity.id : undefined
  return { steps: [judge(certificate, saeId, identity.ok ? '' : identity.message, nowMs)], saeId }
}

const judge = (certificate: Certificate, saeId: string | undefined, why: string, nowMs: number): Step => {
  const { notBefore, notAfter } = certificate.parsed
  if (nowMs > notAfter.getTime()) return failed('files', `this SAE's certificate expired at ${notAfter.toISOString()} (this machine's clock says ${new Date(nowMs).toISOString()})`, 'renew it: qkme pki issue --renew, or ask your CA')
  if (nowMs < notBefore.getTime()) return failed('files', `this SAE's certificate is valid only from ${notBefore.toISOString()} (this machine's clock says ${new Date(nowMs).toISOString()})`, 'set this machine\'s clock, or wait')
  const usages = extendedUsages(certificate.parsed)
  if (usages?.includes(oid.clientAuth) !== true) return failed('files', 'this SAE\'s certificate lacks the extended key usage clientAuth', 'have it issued as a client certificate (profile sae)')
  if (saeId === undefined) return warning('files', `by the usual rule ${why}`, 'the KME may have another rule (rest.identity); else have the certificate issued with one SAN URI urn:qkme:sae:<ID>')
  const daysLeft = Math.floor((notAfter.getTime() - nowMs) / dayMs)
  const text = `certificate of SAE "${saeId}", valid for ${daysLeft} days`
  return daysLeft < 14 ? warning('files', text, 'renew it soon') : ok('files', text)
}
