import { FRAME_VERSION } from './frame.js'

/** The versions of this protocol that we speak, best first. */
export const supportedVersions: readonly number[] = [FRAME_VERSION]

const prefix = 'qkme-peer.'
/** Longer lists than any honest dialler sends are not read. */
const offeredBytesMax = 256

/** A version as WebSocket subprotocol (RFC 6455, clause 1.9). */
export const protocolName = (version: number): string => `${prefix}${version}`

/** What we offer when we dial. */
export const offeredProtocols: readonly string[] = supportedVersions.map(protocolName)

/** An offer in the one form that both sides hash into the session ID: names separated by a comma, without spaces. */
export const normalOffer = (offered: string): string => namesIn(offered).join(',')

/** The version behind a subprotocol's name, if it is one of ours. */
export const versionOf = (name: string): number | undefined => supportedVersions.find((version) => protocolName(version) === name)

/** The best version that both sides speak; undefined when there is none, and then there is no connection. */
export const chooseVersion = (offered: string): number | undefined => {
  if (offered.length > offeredBytesMax) return undefined
  const names = namesIn(offered)
  return supportedVersions.find((version) => names.includes(protocolName(version)))
}

const namesIn = (offered: string): string[] => offered.split(',').map((name) => name.trim()).filter((name) => name !== '')
