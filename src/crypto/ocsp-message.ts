import { createHash, verify, type KeyObject } from 'node:crypto'
import { BasicOCSPResponse, CertID, id_kp_OCSPSigning as ocspSigning, id_pkix_ocsp_basic as basicType, id_pkix_ocsp_nonce as nonceType, OCSPRequest, OCSPResponse, OCSPResponseStatus, Request, TBSRequest, type SingleResponse } from '@peculiar/asn1-ocsp'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import { AlgorithmIdentifier, Certificate as AsnCertificate, Extension } from '@peculiar/asn1-x509'
import { extendedUsages } from './identity.js'
import { parseCertificate, toPem, type Certificate } from './pem.js'
import { normalSerial } from './x509.js'

/** What a verified answer says of one certificate. */
export interface OcspAnswer {
  readonly status: 'good' | 'revoked' | 'unknown'
  readonly thisUpdateMs: number
  /** After this instant the answer says nothing; undefined: the responder always has newer information. */
  readonly nextUpdateMs: number | undefined
}

export interface OcspQuestion {
  readonly certificate: Certificate
  /** The CA that issued it. */
  readonly issuer: Certificate
  /** A responder that echoes it proves that its answer is fresh; one that leaves it out is judged by its dates. */
  readonly nonce: Uint8Array
  /** Serials that the issuer's CRL revokes (normalSerial): a responder's own certificate may be among them. */
  readonly revoked: ReadonlySet<string>
}

/** How far the clocks of responder and KME may be apart, and how many certificates of an answer are looked at. */
const SKEW_MS = 60_000, SIGNERS_MAX = 4
const sha1Oid = '1.3.14.3.2.26'
/** Hash by signature algorithm; null where the algorithm has it inside. SHA-1 is not among them. */
const hashes: ReadonlyMap<string, string | null> = new Map([
  ['1.2.840.10045.4.3.2', 'sha256'], ['1.2.840.10045.4.3.3', 'sha384'], ['1.2.840.10045.4.3.4', 'sha512'],
  ['1.2.840.113549.1.1.11', 'sha256'], ['1.2.840.113549.1.1.12', 'sha384'], ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.3.101.112', null], ['1.3.101.113', null],
])

const sha1 = (bytes: ArrayBuffer): ArrayBuffer => Uint8Array.from(createHash('sha1').update(new Uint8Array(bytes)).digest()).buffer
const asn = (certificate: Certificate): AsnCertificate => AsnConvert.parse(certificate.node.raw, AsnCertificate)
const same = (a: ArrayBuffer, b: ArrayBuffer): boolean => Buffer.from(a).equals(Buffer.from(b))

/** SHA-1 names the issuer, it protects nothing: the one hash that every responder knows (RFC 5019, clause 2.1.1). */
const idOf = ({ certificate, issuer }: OcspQuestion): CertID => {
  const ca = asn(issuer).tbsCertificate
  return new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm: sha1Oid, parameters: null }),
    issuerNameHash: new OctetString(sha1(AsnConvert.serialize(ca.subject))),
    issuerKeyHash: new OctetString(sha1(ca.subjectPublicKeyInfo.subjectPublicKey)),
    serialNumber: asn(certificate).tbsCertificate.serialNumber,
  })
}

/** DER of an unsigned request for one certificate, with the nonce (RFC 6960, clause 4.1; RFC 9654). */
export const ocspRequest = (question: OcspQuestion): Uint8Array => {
  const nonce = new Extension({ extnID: nonceType, critical: false, extnValue: new OctetString(AsnConvert.serialize(new OctetString(question.nonce))) })
  const tbsRequest = new TBSRequest({ requestList: [new Request({ reqCert: idOf(question) })], requestExtensions: [nonce] })
  return new Uint8Array(AsnConvert.serialize(new OCSPRequest({ tbsRequest })))
}

/**
 * Verifies an answer and reads what it says of the certificate (RFC 6960, clause 3.2): signed by the CA or by a responder that
 * the same CA named with id-kp-OCSPSigning, about this very certificate, in force now, with our nonce if it has one.
 *
 * @throws Error with the reason: nothing is known then.
 */
export const readOcspResponse = (der: Uint8Array, question: OcspQuestion, nowMs: number): OcspAnswer => {
  const outer = AsnConvert.parse(der, OCSPResponse)
  if (outer.responseStatus !== OCSPResponseStatus.successful) throw new Error(`the responder answers ${OCSPResponseStatus[outer.responseStatus] ?? String(outer.responseStatus)}`)
  if (outer.responseBytes?.responseType !== basicType) throw new Error('the answer is not a basic OCSP response')
  const basic = AsnConvert.parse(outer.responseBytes.response, BasicOCSPResponse)
  checkSignature(basic, question, nowMs)
  const { tbsResponseData: data } = basic
  checkNonce(data.responseExtensions ?? [], question.nonce)
  const id = idOf(question)
  const single = data.responses.find((one) => isSame(one.certID, id))
  if (single === undefined) throw new Error('the answer is about another certificate')
  return readSingle(single, nowMs)
}

const isSame = (a: CertID, b: CertID): boolean =>
  a.hashAlgorithm.algorithm === b.hashAlgorithm.algorithm && same(a.issuerNameHash.buffer, b.issuerNameHash.buffer) &&
  same(a.issuerKeyHash.buffer, b.issuerKeyHash.buffer) && same(a.serialNumber, b.serialNumber)

const readSingle = (single: SingleResponse, nowMs: number): OcspAnswer => {
  const thisUpdateMs = single.thisUpdate.getTime(), nextUpdateMs = single.nextUpdate?.getTime()
  if (thisUpdateMs > nowMs + SKEW_MS) throw new Error(`the answer holds only from ${single.thisUpdate.toISOString()}`)
  if (nextUpdateMs !== undefined && nextUpdateMs <= nowMs) throw new Error(`the answer is stale: it held until ${new Date(nextUpdateMs).toISOString()}`)
  if (nextUpdateMs === undefined && thisUpdateMs < nowMs - SKEW_MS) throw new Error('the answer has no nextUpdate and is not of now')
  const unknown = single.singleExtensions?.find((e) => e.critical)
  if (unknown !== undefined) throw new Error(`the answer has the critical extension ${unknown.extnID}, which is not supported`)
  const { good, revoked } = single.certStatus
  return { status: revoked !== undefined ? 'revoked' : good !== undefined ? 'good' : 'unknown', thisUpdateMs, nextUpdateMs }
}

const checkNonce = (extensions: readonly Extension[], nonce: Uint8Array): void => {
  for (const { extnID, critical, extnValue } of extensions) {
    if (extnID !== nonceType) {
      if (critical) throw new Error(`the answer has the critical extension ${extnID}, which is not supported`)
      continue
    }
    if (!Buffer.from(AsnConvert.parse(extnValue.buffer, OctetString).buffer).equals(nonce)) throw new Error('the answer has the nonce of another request')
  }
}

const checkSignature = (basic: BasicOCSPResponse, question: OcspQuestion, nowMs: number): void => {
  const hash = hashes.get(basic.signatureAlgorithm.algorithm)
  if (hash === undefined) throw new Error(`the answer is signed with algorithm ${basic.signatureAlgorithm.algorithm}, which is not supported`)
  if (basic.tbsResponseDataRaw === undefined) throw new Error('the answer has no data')
  const data = new Uint8Array(basic.tbsResponseDataRaw), signature = new Uint8Array(basic.signature)
  const isBy = (key: KeyObject): boolean => verify(hash, data, key, signature)
  if (isBy(question.issuer.node.publicKey)) return
  for (const der of (basic.certs ?? []).slice(0, SIGNERS_MAX)) {
    const signer = parseCertificate(toPem('CERTIFICATE', AsnConvert.serialize(der)))
    if (mayAnswer(signer, question, nowMs) && isBy(signer.node.publicKey)) return
  }
  throw new Error('the answer is signed neither by the CA nor by a responder that the CA named')
}

const mayAnswer = (signer: Certificate, { issuer, revoked }: OcspQuestion, nowMs: number): boolean =>
  signer.node.checkIssued(issuer.node) && signer.node.verify(issuer.node.publicKey) && extendedUsages(signer.parsed)?.includes(ocspSigning) === true &&
  nowMs >= signer.parsed.notBefore.getTime() && nowMs <= signer.parsed.notAfter.getTime() && !revoked.has(normalSerial(signer.parsed.serialNumber))
