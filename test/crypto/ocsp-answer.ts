/** Answers of an OCSP responder (RFC 6960, clause 4.2), right and wrong ones. */
import { createHash, sign, type KeyObject } from 'node:crypto'
import { BasicOCSPResponse, CertStatus, id_pkix_ocsp_basic as basicType, id_pkix_ocsp_nonce as nonceType, KeyHash, OCSPRequest, OCSPResponse, OCSPResponseStatus, ResponderID, ResponseBytes, ResponseData, RevokedInfo, SingleResponse } from '@peculiar/asn1-ocsp'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import { AlgorithmIdentifier, Certificate as AsnCertificate } from '@peculiar/asn1-x509'

export interface AnswerShape {
  status?: 'good' | 'revoked' | 'unknown', thisUpdateMs?: number, nextUpdateMs?: number | null
  nonce?: 'echo' | 'none' | 'wrong', aboutOther?: boolean, tamper?: boolean, code?: OCSPResponseStatus
}

/** Who signs, with ECDSA; a delegate sends its certificate along. */
export interface Signer { readonly pem: string, readonly key: KeyObject, readonly raw: Uint8Array, readonly isDelegate?: boolean }

/** The serial number that a request asks about: hexadecimal, without leading zeros. */
export const serialAsked = (der: Uint8Array): string =>
  Buffer.from(AsnConvert.parse(der, OCSPRequest).tbsRequest.requestList[0]!.reqCert.serialNumber).toString('hex').replace(/^0+/, '')

/** What a responder answers to a request of ours; without a shape it says that the certificate is good. */
export const answerTo = (der: Uint8Array, shape: AnswerShape, by: Signer, nowMs: number): Uint8Array => {
  if (shape.code !== undefined) return new Uint8Array(AsnConvert.serialize(new OCSPResponse({ responseStatus: shape.code })))
  const { tbsRequest } = AsnConvert.parse(der, OCSPRequest)
  const certID = tbsRequest.requestList[0]!.reqCert
  if (shape.aboutOther === true) certID.serialNumber = Uint8Array.of(0x77).buffer
  const nonce = tbsRequest.requestExtensions!.find((e) => e.extnID === nonceType)!
  if (shape.nonce === 'wrong') nonce.extnValue = new OctetString(AsnConvert.serialize(new OctetString(new Uint8Array(32))))
  const certStatus = new CertStatus(shape.status === 'revoked' ? { revoked: new RevokedInfo({ revocationTime: new Date(nowMs - 86_400_000) }) } : shape.status === 'unknown' ? { unknown: null } : { good: null })
  const tbsResponseData = new ResponseData({
    responderID: new ResponderID({ byKey: new KeyHash(createHash('sha1').update(by.pem).digest()) }), producedAt: new Date(nowMs),
    responses: [new SingleResponse({
      certID, certStatus, thisUpdate: new Date(shape.thisUpdateMs ?? nowMs - 3_600_000),
      ...(shape.nextUpdateMs === null ? {} : { nextUpdate: new Date(shape.nextUpdateMs ?? nowMs + 600_000) }),
    })],
    ...(shape.nonce === 'none' ? {} : { responseExtensions: [nonce] }),
  })
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(tbsResponseData)), by.key)
  if (shape.tamper === true) signature[signature.length - 1]! ^= 1
  const basic = new BasicOCSPResponse({
    tbsResponseData, signature: Uint8Array.from(signature).buffer, signatureAlgorithm: new AlgorithmIdentifier({ algorithm: '1.2.840.10045.4.3.2' }),
    ...(by.isDelegate === true ? { certs: [AsnConvert.parse(by.raw, AsnCertificate)] } : {}),
  })
  return new Uint8Array(AsnConvert.serialize(new OCSPResponse({
    responseStatus: OCSPResponseStatus.successful, responseBytes: new ResponseBytes({ responseType: basicType, response: new OctetString(AsnConvert.serialize(basic)) }),
  })))
}
