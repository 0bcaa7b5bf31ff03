"""The shop's own web site, which may have mounted Vase into itself; the settings around it are the site's."""

import os

from shop import app as celery
from shop import work


def site(environ, start_response):
    """Order whatever number the address names."""
    number = environ["PATH_INFO"].strip("/")
    if number.isdigit():
        work.delay(int(number))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"This is the shop."]


application = site
if os.environ.get("MOUNTED"):
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from webapp import create_app

    application = DispatcherMiddleware(site, {"/celery": create_app(celery=celery)})
