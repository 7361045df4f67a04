/** Every row by its name, in the order of the table. */
import type { Figure } from './figures.js'
import { decOne128, decOne32, encConnect, encMany, encOne, encOneLocal, halfLoad, status, type BenchContext } from './rows-rest.js'

/** `site`: runs on the two KMEs that the rows share. `own`: starts what it needs; nothing else runs then. */
interface RowEntry { readonly needs: 'site' | 'own', run (bench: BenchContext): Promise<Figure> }

export const rows: Readonly<Record<string, RowEntry>> = {
  enc: { needs: 'site', run: encOne },
  'enc-local': { needs: 'site', run: encOneLocal },
  dec32: { needs: 'site', run: decOne32 },
  dec128: { needs: 'site', run: decOne128 },
  enc128keys: { needs: 'site', run: encMany },
  status: { needs: 'site', run: status },
  connect: { needs: 'site', run: encConnect },
  p99: { needs: 'site', run: halfLoad },
}
