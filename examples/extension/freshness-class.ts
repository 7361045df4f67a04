/**
 * An extension of "Get key" as docs/extensions.md explains it: `acme_freshness` lets an SAE say in words how old the bits of its
 * keys may be, as the encryptors of one vendor do.
 */
import { Type } from '@sinclair/typebox'
import type { Extension } from '../../src/pool/extensions.js'

const maxAgeMs = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const
type Freshness = keyof typeof maxAgeMs

export const freshnessClass: Extension = {
  name: 'acme_freshness',
  summary: 'Only bits that the two KMEs confirmed within the last minute, hour or day.',
  schema: Type.Union([Type.Literal('minute'), Type.Literal('hour'), Type.Literal('day')]),
  example: 'hour',
  constraint: (value) => ({ maxAgeMs: maxAgeMs[value as Freshness] }),
}
