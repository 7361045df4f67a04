import { watch, type FSWatcher } from 'node:fs'
import type { Cancel, Clock } from '../kernel/time.js'

/**
 * Says when something may have changed in a folder: by the system's word, and every `scanMs` whatever it says (network file
 * systems tell nothing, and a folder may come and go).
 */
export class FolderWatch {
  private watcher: FSWatcher | undefined
  private stopScan: Cancel = () => {}
  private closed = false

  constructor (private readonly folder: string, private readonly scanMs: number, private readonly clock: Clock, private readonly changed: () => void) { this.scan() }

  private scan (): void {
    if (this.closed) return
    this.listen()
    this.changed()
    this.stopScan = this.clock.after(this.scanMs, () => { this.scan() })
  }

  private listen (): void {
    if (this.watcher !== undefined) return
    try {
      this.watcher = watch(this.folder, { persistent: false }, (event, name) => {
        if (event === 'rename' && name === null) this.forget()
        this.changed()
      })
      this.watcher.on('error', () => { this.forget() })
    } catch {
      this.watcher = undefined // Not there, or no watches left: the scan goes on, and tries again.
    }
  }

  /** The folder was replaced: the next scan listens to the new one. */
  forget (): void {
    this.watcher?.close()
    this.watcher = undefined
  }

  close (): void {
    this.closed = true
    this.stopScan()
    this.forget()
  }
}
