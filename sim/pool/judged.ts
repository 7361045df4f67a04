import type { Ledger } from './ledger.js'

/** A model of KMEs, made for one run. */
export interface Model<Result> {
  readonly ledger: Ledger
  run (): Promise<void>
  result (): Result
  dispose (): void
}

/** Runs it once. What is thrown is a violation like any other. */
export const judged = async <Result>(model: Model<Result>): Promise<Result> => {
  try {
    await model.run()
  } catch (error) {
    model.ledger.fault(`threw: ${error instanceof Error ? error.stack : String(error)}`)
  } finally {
    model.dispose()
  }
  return model.result()
}
