/** Writes test/vectors/relay.json and link-state.json anew: for a change of the protocol, and then by hand. node dist/test/relay/make-vectors.js */
import { writeFileSync } from 'node:fs'
import { linkStateVectors, relayVectors } from './vectors.js'

for (const [name, vectors] of [['relay', relayVectors()], ['link-state', linkStateVectors()]] as const) {
  writeFileSync(new URL(`../../../test/vectors/${name}.json`, import.meta.url), `${JSON.stringify(vectors, null, 1)}\n`)
}
