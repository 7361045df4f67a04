/** Writes docs/openapi.json anew: `node dist/src/http/write-openapi.js`. A test fails while the file is stale. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExtensionRegistry } from '../pool/extensions.js'
import { openApiText } from './openapi.js'

const root = new URL('../../../', import.meta.url).pathname
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
writeFileSync(join(root, 'docs/openapi.json'), openApiText(version, new ExtensionRegistry()))
