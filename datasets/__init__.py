"""Where model files come from, and their copies on this node. Knows nothing about services.

    actions/      what people ask for: one function a verb
    jobs/         what a worker does, asked or on a schedule; owns leases
    queries/      what pages and the API are told
    api/ views/   parse, call one action or query, render
    wiring.py     builds the store and the sources from the settings
    credentials.py   encrypts the secret options of a dataset, and opens them
    inspect/      what a folder of model files is, and what the files say
    preheat/      copying/ fetches the files of a plan, store/ keeps them by content; journal.py says what is done
    sources/      one folder a kind: listing, planning and reading (base.py is the contract, registry.py the kinds)
    dispatch.py   enqueueing; tasks.py is the other end of it
    signals.py    what other apps may listen to
    leftovers.py  names of files that are not copied

`specs`, `states`, `errors`, `sources`, `inspect` and `preheat` import no Django.
"""
