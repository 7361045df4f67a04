import { writeFileSync } from 'node:fs'
import { machineDocs } from './machine-docs.js'

// Entry of `npm run docs:machines`, run from the project's root.
writeFileSync('docs/machines.md', machineDocs())
