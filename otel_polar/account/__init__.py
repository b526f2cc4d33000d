"""Your organization on Polar as billing needs it: meters, a product, credits, and a customer for each of your users.

::

    wanted.py      what there is to be, from flags
    setup_file.py  the same from a TOML file
    plan.py        what of it there is already, what is to be made, and what cannot be
    setup.py       making it, one thing at a time
    customers.py   a customer with your id, once
    sign_up.py     the same for an application's sign-up code
    user_list.py   a file of users, row by row
    syncing.py     a customer for each of them
    earlier.py     usage that came before its customer
"""
