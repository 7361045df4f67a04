import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/**
 * Makes a folder and those above it that are missing. One that is there is left as it is.
 *
 * Not by mkdirSync's own `recursive`: below a folder that says "no such file" to whoever makes one in it, as /proc does, Node 20
 * tries for ever.
 *
 * @param mode Of those that are made.
 * @throws the system's error, such as EACCES; EEXIST if something else has the name.
 */
export const makeFolders = (path: string, mode: number): void => {
  const missing = []
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at)
  if (missing.length === 0 && !isFolder(path)) mkdirSync(path)
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, mode)
    } catch (error) {
      if (!isFolder(folder)) throw error // Else somebody else has just made it.
    }
  }
}
