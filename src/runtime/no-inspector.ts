import { KmeError } from '../kernel/errors.js'

export interface InspectorSigns {
  /** `process.execArgv`. */
  readonly execArgv: readonly string[]
  /** The environment variable NODE_OPTIONS, or ''. */
  readonly nodeOptions: string
  /** `inspector.url()`: set while an inspector listens. */
  readonly url: string | undefined
}

const flag = /^--(inspect|debug)(-[a-z-]+)?(=.*)?$/

/**
 * Key passes through this process: nobody may look into it.
 *
 * @throws KmeError `CONFIG_INVALID` if Node was started with an inspector, or one is open.
 */
export const refuseInspector = (signs: InspectorSigns): void => {
  const asked = [...signs.execArgv, ...signs.nodeOptions.split(/\s+/)].find((word) => flag.test(word))
  if (asked === undefined && signs.url === undefined) return
  throw new KmeError('CONFIG_INVALID', `Node's inspector reads all memory, so a KME does not run with it: remove ${asked ?? 'what opened it'} from the command line or NODE_OPTIONS`)
}
