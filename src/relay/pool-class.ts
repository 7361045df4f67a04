import { SHARES_MAX } from '../peer/messages.js'

/** What kind of key a relayed pool holds. Two KMEs may share pools of several classes side by side, each with lanes of its own. */
export interface PoolClass {
  /** Node-disjoint paths that each block comes over at once. */
  readonly paths: number
  /** An ML-KEM-768 stream between the two KMEs lies over the bits. */
  readonly hybrid: boolean
}

/** One path, nothing over it. */
export const plain: PoolClass = { paths: 1, hybrid: false }

const HYBRID = 128

/** A class as messages name it: the paths, plus 128 if it is hybrid. */
export const classNumber = ({ paths, hybrid }: PoolClass): number => paths + (hybrid ? HYBRID : 0)

/** The class of such a number; undefined if it is none. */
export const classOf = (number: number): PoolClass | undefined => {
  const paths = number % HYBRID
  return paths >= 1 && paths <= SHARES_MAX && number < 2 * HYBRID ? { paths, hybrid: number >= HYBRID } : undefined
}

export const classText = ({ paths, hybrid }: PoolClass): string => `${paths === 1 ? 'one path' : `${paths} paths`}${hybrid ? ', hybrid' : ''}`
