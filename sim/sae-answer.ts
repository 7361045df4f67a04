import type { KeyReply, Refusal } from '../src/pool/service.js'

/** One key as an SAE got it. */
export interface GotKey { readonly id: string, readonly key: string, readonly extension?: unknown }
export type Answer = { readonly keys: GotKey[] } | { readonly refusal: Refusal }

/** The SAE's end of a request. */
export const replyTo = (then: (answer: Answer) => void): KeyReply => ({
  keys: (json) => {
    const container = JSON.parse(Buffer.from(json).toString()) as { keys: { key_ID: string, key: string, key_extension?: unknown }[] }
    then({ keys: container.keys.map((k) => ({ id: k.key_ID, key: k.key, ...(k.key_extension === undefined ? {} : { extension: k.key_extension }) })) })
  },
  refuse: (refusal) => { then({ refusal }) },
})
